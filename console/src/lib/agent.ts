// What a browser calls itself, in two words: "Firefox, Linux".

const BROWSERS: [RegExp, string][] = [
  [/Edg\//, "Edge"], [/OPR\//, "Opera"], [/Firefox\//, "Firefox"], [/Chrom(e|ium)\//, "Chrome"], [/Safari\//, "Safari"],
];
const SYSTEMS: [RegExp, string][] = [
  [/Windows/, "Windows"], [/Android/, "Android"], [/iPhone|iPad/, "iOS"], [/Mac OS X/, "macOS"], [/CrOS/, "ChromeOS"], [/Linux/, "Linux"],
];

/** Of a program that is no known browser, what it said itself. */
export function browserName(agent: string): string {
  const browser = BROWSERS.find(([known]) => known.test(agent))?.[1];
  if (!browser) return agent;
  const system = SYSTEMS.find(([known]) => known.test(agent))?.[1];
  return system ? `${browser}, ${system}` : browser;
}
