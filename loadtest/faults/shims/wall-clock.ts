/** Loaded into a server before its own code: its wall clock jumps an hour forward on SIGUSR2 and an hour back on SIGWINCH. */
const HOUR_MS = 3_600_000
const realNow = Date.now
let shiftMs = 0

Date.now = () => realNow() + shiftMs
globalThis.Date = new Proxy(Date, {
  construct: (target, given: [], newTarget) =>
    Reflect.construct(target, given.length === 0 ? [target.now()] : given, newTarget) as Date,
})
process.on('SIGUSR2', () => (shiftMs += HOUR_MS))
process.on('SIGWINCH', () => (shiftMs -= HOUR_MS))
