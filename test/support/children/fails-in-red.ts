/** A child that says why and dies before it takes a call. */
process.stderr.write('\u001b[31mout of order\u001b[0m\n')
process.exitCode = 1
