// Finding things by what people type: every word must occur, in any order; a match at the start of
// a word counts more, a shorter name more than a longer one.

export interface Findable {
  text: string;
}

export function score(text: string, words: readonly string[]): number {
  let total = 0;
  for (const word of words) {
    const at = text.indexOf(word);
    if (at < 0) return 0;
    const start = at === 0 || /[\s/._-]/.test(text[at - 1]!);
    total += start ? 3 : 1;
  }
  return total + 1 / (1 + text.length / 40);
}

export function find<T extends Findable>(items: readonly T[], typed: string, limit: number): T[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return items.slice(0, limit);
  return items
    .map((item) => ({ item, score: score(item.text, words) }))
    .filter((hit) => hit.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, limit)
    .map((hit) => hit.item);
}
