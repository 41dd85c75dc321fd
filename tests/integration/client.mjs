// MQTT.js as the tests drive it: one round trip of everything at the URL given, told as JSON.
// Arguments: a JSON object with url, version (3, 4 or 5), name and ca (a PEM file, for TLS).
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import mqtt from 'mqtt'

const { url, version, name, ca } = JSON.parse(process.argv[2])
const COUNT = 50

function open(suffix, options = {}) {
  return mqtt.connectAsync(url, {
    clientId: `${name}-${suffix}`,
    protocolVersion: version,
    protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
    ca: ca ? readFileSync(ca) : undefined,
    reconnectPeriod: 0,
    connectTimeout: 10000,
    ...options,
  })
}

function collect(client, count) {
  const taken = []
  return new Promise((resolve) => {
    client.on('message', (topic, payload, packet) => {
      taken.push({ topic, payload: payload.toString(), qos: packet.qos, retain: packet.retain })
      if (taken.length === count) resolve(taken)
    })
  })
}

const receiver = await open('receiver')
const sender = await open('sender')
await sender.publishAsync(`${name}/kept`, 'kept', { qos: 1, retain: true })
const received = collect(receiver, 1 + 3 * COUNT + 1)
const granted = await receiver.subscribeAsync(`${name}/#`, { qos: 2 })
for (const qos of [0, 1, 2]) {
  const sent = []
  for (let number = 0; number < COUNT; number++) {
    sent.push(sender.publishAsync(`${name}/${qos}`, `${number}`, { qos }))
  }
  await Promise.all(sent)
}

// A client that goes without a goodbye leaves its will.
const doomed = await open('doomed', { will: { topic: `${name}/will`, payload: 'gone', qos: 1 } })
doomed.stream.destroy()

const messages = await received
await receiver.unsubscribeAsync(`${name}/#`)
await Promise.all([receiver.endAsync(), sender.endAsync()])

// What is published while a persistent session is away waits for it.
const persistent = { clean: false, ...(version === 5 && { properties: { sessionExpiryInterval: 60 } }) }
const before = await open('persistent', persistent)
await before.subscribeAsync(`${name}/later`, { qos: 1 })
await before.endAsync()
const other = await open('other')
await other.publishAsync(`${name}/later`, 'waited', { qos: 1 })
await other.endAsync()
const after = mqtt.connect(url, {
  clientId: `${name}-persistent`,
  protocolVersion: version,
  protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
  ca: ca ? readFileSync(ca) : undefined,
  ...persistent,
})
const resumed = collect(after, 1)
const [connack] = await once(after, 'connect')
const later = await resumed
await after.endAsync()

console.log(
  JSON.stringify({ granted, messages, later, sessionPresent: connack.sessionPresent }),
)
