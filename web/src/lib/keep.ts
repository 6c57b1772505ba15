/// What outlives a reload and is too large for sessionStorage: pictures of a draft, messages that wait to be sent.
///
/// It lies in IndexedDB, for this tab alone (its name is in sessionStorage, which browsers bring back with a tab); what
/// is older than a week goes. A browser that keeps nothing (private windows) still works, up to the reload.

interface Kept {
  value: unknown;
  at: number;
}

const STORE = "kept";
const WEEK = 7 * 24 * 3600 * 1000; // milliseconds
const tab = (sessionStorage["firesteel.tab"] ??= freshId()) as string;
const full = (name: string) => `${tab}/${name}`;

/// A name that nothing else has. `crypto.randomUUID` is missing where the page came over plain http from elsewhere.
export function freshId(): string {
  return Array.from(crypto.getRandomValues(new Uint32Array(4)), (part) => part.toString(36)).join("-");
}

let opened: Promise<IDBDatabase | null> | null = null;

function database(): Promise<IDBDatabase | null> {
  opened ??= new Promise((resolve) => {
    const asked = indexedDB.open("firesteel", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE);
    asked.onsuccess = () => {
      resolve(asked.result);
      clear(asked.result);
    };
    asked.onerror = () => resolve(null);
  });
  return opened;
}

function clear(database: IDBDatabase): void {
  const cursor = database.transaction(STORE, "readwrite").objectStore(STORE).openCursor();
  cursor.onsuccess = () => {
    if (!cursor.result) return;
    if (Date.now() - (cursor.result.value as Kept).at > WEEK) cursor.result.delete();
    cursor.result.continue();
  };
}

/// Changes what is kept under a name, in one step that no other tab can come between; undefined is nothing. False if
/// the browser keeps nothing, or its disk is full.
export async function change<T>(name: string, to: (value: T | undefined) => T | undefined): Promise<boolean> {
  const kept = await database();
  if (!kept) return false;
  return new Promise((resolve) => {
    const work = kept.transaction(STORE, "readwrite");
    const store = work.objectStore(STORE);
    const asked = store.get(full(name)) as IDBRequest<Kept | undefined>;
    asked.onsuccess = () => {
      const value = to(asked.result?.value as T | undefined);
      if (value === undefined) store.delete(full(name));
      else store.put({ value, at: Date.now() }, full(name));
    };
    work.oncomplete = () => resolve(true);
    work.onerror = work.onabort = () => resolve(false);
  });
}

export const keep = <T>(name: string, value: T | undefined): Promise<boolean> => change<T>(name, () => value);

export async function kept<T>(name: string): Promise<T | undefined> {
  let found: T | undefined;
  await change<T>(name, (value) => (found = value));
  return found;
}

/// Takes an entry out of a list that is kept. False if somebody else has taken it: a copy of this tab.
export async function take(name: string, id: string): Promise<boolean> {
  let there = false;
  await change<{ id: string }[]>(name, (list = []) => {
    there = list.some((each) => each.id === id);
    const left = list.filter((each) => each.id !== id);
    return left.length ? left : undefined;
  });
  return there;
}
