/// A thread is a tree of turns; what is shown is the path from a root to a leaf.

export interface Node {
  id: string;
  previous: string | null;
}

/// The turns from the root to `leaf`; without one, to the newest turn.
export function pathTo<T extends Node>(nodes: readonly T[], leaf: string | null): T[] {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const path: T[] = [];
  let node = (leaf && byId.get(leaf)) || nodes.at(-1);
  while (node && path.length <= nodes.length) {
    path.push(node);
    node = node.previous ? byId.get(node.previous) : undefined;
  }
  return path.reverse();
}

/// The versions of a turn, itself among them, oldest first.
export function siblings<T extends Node>(nodes: readonly T[], node: T): T[] {
  const known = new Set(nodes.map((each) => each.id));
  const parent = (each: T) => (each.previous && known.has(each.previous) ? each.previous : null);
  return nodes.filter((each) => parent(each) === parent(node));
}

/// Where the newest branch below a turn ends.
export function newestLeaf<T extends Node>(nodes: readonly T[], id: string): string {
  const child = nodes.findLast((node) => node.previous === id);
  return child ? newestLeaf(nodes, child.id) : id;
}

/// A turn and everything that follows it.
export function below<T extends Node>(nodes: readonly T[], id: string): Set<string> {
  const found = new Set([id]);
  for (const node of nodes) if (node.previous && found.has(node.previous)) found.add(node.id); // parents come first
  return found;
}
