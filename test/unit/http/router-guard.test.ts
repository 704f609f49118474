import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { it } from 'node:test'
import { Router } from '@koa/router'
import Koa from 'koa'

// koa-router 14 skipped guards of a router whose prefix has a parameter; the package in use must not.
it('runs the guards of a router whose prefix has a parameter', async () => {
  const router = new Router({ prefix: '/admin/:tenant', sensitive: true, strict: true })
  router.use((ctx) => {
    ctx.status = 401
  })
  router.get('/pins', (ctx) => {
    ctx.body = 'pinned'
  })
  const answer = new Koa().use(router.routes()).callback()
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.destroy(error instanceof Error ? error : undefined))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const { status } = await fetch(`http://127.0.0.1:${port}/admin/acme/pins`)
  assert.equal(status, 401)
  server.close()
  server.closeAllConnections()
})
