/// Pictures of the user, made fit to be sent, and pictures of the server, which may need the key.

import { request } from "./api";

const LARGEST = 2048; // pixels a side: more than the model sees of a picture
const SENT_AS_THEY_ARE = 1 << 20; // bytes

/// A file as a data URL; large ones, and forms that the server does not read, are drawn anew.
export async function readPicture(file: Blob): Promise<string> {
  const known = ["image/png", "image/jpeg", "image/webp"].includes(file.type);
  const bitmap = await createImageBitmap(file);
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  if (known && scale === 1 && file.size <= SENT_AS_THEY_ARE) return dataUrl(file);
  const canvas = new OffscreenCanvas(Math.round(bitmap.width * scale), Math.round(bitmap.height * scale));
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const type = file.type === "image/jpeg" ? "image/jpeg" : "image/png";
  return dataUrl(await canvas.convertToBlob({ type, quality: 0.92 }));
}

function dataUrl(blob: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

const fetched = new Map<string, Promise<Blob>>();

/// The bytes behind the address of a picture of ours.
export function pictureBytes(url: string): Promise<Blob> {
  let bytes = fetched.get(url);
  if (!bytes) {
    bytes = request(url).then((response) => response.blob());
    fetched.set(url, bytes);
    bytes.catch(() => fetched.delete(url));
  }
  return bytes;
}

/// The bytes of any picture of a conversation.
export async function bytesOf(url: string): Promise<Blob> {
  if (url.startsWith("/")) return pictureBytes(url);
  const [head = "", text = ""] = url.split(",", 2);
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)); // the policy of the page forbids to fetch it
  return new Blob([bytes], { type: /^data:([^;]+)/.exec(head)?.[1] ?? "" });
}

/// An address that an <img> can show, and that can be sent: pictures of the server become data.
export async function inlined(url: string): Promise<string> {
  return url.startsWith("/") ? dataUrl(await pictureBytes(url)) : url;
}
