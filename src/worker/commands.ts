/** Kinds of calls from a parent to its worker. Payloads: JSON, but for `run`, which is a hand-over. */
export const COMMAND = {
  /** Hello -> empty, once the engine has shown that it works on the device. */
  hello: 1,
  /** OpenSpec -> OpenReport. */
  open: 2,
  /** `{ placementId }` -> empty. */
  close: 3,
  /** Hand-over -> reply, see the hand-over wire. */
  run: 4,
  /** `{ placementId, isBatchSafe, maxRows }` -> empty. */
  setBatching: 5,
} as const
