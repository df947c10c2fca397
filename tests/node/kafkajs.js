// kafkajs against the Kafka door: node kafkajs.js BOOTSTRAP

const { Kafka, CompressionTypes, logLevel } = require('kafkajs')
const assert = require('node:assert')

const kafka = new Kafka({ clientId: 'js', brokers: [process.argv[2]], logLevel: logLevel.ERROR })

async function main() {
  const admin = kafka.admin()
  await admin.connect()
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 2 }] })
  assert((await admin.listTopics()).includes('js'))

  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
  await producer.connect()
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    const messages = Array.from({ length: 200 }, (_, n) => ({ key: `k${n % 5}`, value: `${compression} ${n}` }))
    await producer.send({ topic: 'js', compression, acks: -1, messages })
  }
  await producer.disconnect()

  const seen = new Set()
  const consumer = kafka.consumer({ groupId: 'js readers' })
  await consumer.connect()
  await consumer.subscribe({ topics: ['js'], fromBeginning: true })
  await new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${seen.size} of 400 came`)), 60000)
    consumer
      .run({
        eachMessage: async ({ partition, message }) => {
          seen.add(`${partition}:${message.offset}`)
          if (seen.size === 400) {
            clearTimeout(timer)
            resolve()
          }
        },
      })
      .catch(reject)
  })
  await consumer.disconnect()
  const offsets = await admin.fetchOffsets({ groupId: 'js readers', topics: ['js'] })
  const committed = offsets[0].partitions.reduce((sum, { offset }) => sum + Number(offset), 0)
  assert.strictEqual(committed, 400)
  const byTime = await admin.fetchTopicOffsetsByTimestamp('js', 1)
  assert.deepStrictEqual(byTime.map(({ offset }) => offset), ['0', '0'])
  await admin.deleteTopics({ topics: ['js'] })
  await admin.disconnect()
  console.log('ok')
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
