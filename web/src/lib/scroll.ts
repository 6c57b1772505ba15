/// Pixels that lie below what is in view of something that scrolls.
export const beyond = (box: Element): number => box.scrollHeight - box.scrollTop - box.clientHeight;
