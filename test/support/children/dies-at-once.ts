/** A process that dies of a signal of its own, as under a driver that crashes. */
process.kill(process.pid, 'SIGABRT')
