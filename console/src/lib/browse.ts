// What a server offers, as a tree to tick: folders and variables, filtered by what is typed.

import type { BrowseNode } from "./api/types";

export interface Folder {
  key: string;
  name: string;
  folders: Folder[];
  nodes: BrowseNode[];
  /** All node ids below, at any depth. */
  ids: string[];
}

export function tree(nodes: readonly BrowseNode[]): Folder {
  const root: Folder = { key: "", name: "", folders: [], nodes: [], ids: [] };
  const known = new Map<string, Folder>([["", root]]);
  for (const node of nodes) {
    const levels = node.path.split("/").slice(0, -1);
    let folder = root;
    folder.ids.push(node.node_id);
    for (let i = 0; i < levels.length; i += 1) {
      const key = levels.slice(0, i + 1).join("/");
      let next = known.get(key);
      if (!next) {
        next = { key, name: levels[i]!, folders: [], nodes: [], ids: [] };
        known.set(key, next);
        folder.folders.push(next);
      }
      next.ids.push(node.node_id);
      folder = next;
    }
    folder.nodes.push(node);
  }
  return root;
}

export function filterNodes(nodes: readonly BrowseNode[], typed: string): BrowseNode[] {
  const words = typed.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [...nodes];
  return nodes.filter((n) => {
    const text = `${n.name} ${n.path} ${n.unit} ${n.node_id}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

export type Ticked = "all" | "some" | "none";

export function ticked(ids: readonly string[], chosen: ReadonlySet<string>): Ticked {
  let n = 0;
  for (const id of ids) if (chosen.has(id)) n += 1;
  return n === 0 ? "none" : n === ids.length ? "all" : "some";
}

/** A path level made from any name, as the server makes it from plain Latin names. */
export function level(name: string): string {
  const plain = name.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").toLowerCase();
  const spelled = [...plain].map((c) => (c.charCodeAt(0) < 128 ? c : `-u${c.codePointAt(0)!.toString(16)}-`)).join("");
  return spelled.replace(/[^a-z0-9_]+/g, "-").replace(/-{2,}/g, "-").replace(/^-|-$/g, "").slice(0, 64) || "unnamed";
}

const LEVEL = /^[a-z0-9_-]{1,64}$/;

/** Is this a prefix enterprise/site/area/line? */
export function isPrefix(text: string): boolean {
  const levels = text.split("/");
  return levels.length === 4 && levels.every((l) => LEVEL.test(l));
}
