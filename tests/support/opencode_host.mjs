// Stands for OpenCode: loads a plugin as OpenCode does, and calls it as the lines on standard input say. What a call
// leaves, and each prompt that the plugin asks for, is one line of JSON on standard output.
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"

const [, , file, directory, parent] = process.argv
const say = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)
const client = {
  session: {
    get: async ({ path }) => ({ data: { id: path.id, ...(path.id === parent ? { parentID: "ses_above" } : {}) } }),
    promptAsync: async ({ path, body }) => {
      say({ prompted: path.id, text: body.parts.map((part) => part.text).join(""), agent: body.agent })
      return {}
    },
  },
}
const [make] = Object.values(await import(pathToFileURL(file)))
const hooks = await make({ client, directory })
const second = await make({ client, directory })
say({ hooks: Object.keys(hooks), second: Object.keys(second) })

const calls = {
  message: async ({ id, text }) => {
    const message = { id: "msg_1", sessionID: id, agent: "plan", model: { providerID: "p", modelID: "m" } }
    const parts = [{ id: "prt_1", messageID: "msg_1", sessionID: id, type: "text", text }]
    await hooks["chat.message"]({ sessionID: id }, { message, parts })
    return { parts: parts.slice(1) }
  },
  tool: async ({ id, output }) => {
    const given = { title: "", output, metadata: {} }
    await hooks["tool.execute.after"]({ tool: "bash", sessionID: id, callID: "1", args: {} }, given)
    return { output: given.output }
  },
  event: async ({ type, id, ...more }) => {
    await hooks.event({ event: { type, properties: { sessionID: id, ...more } } })
    return {}
  },
  env: async ({ id }) => {
    const output = { env: {} }
    await hooks["shell.env"]({ cwd: "/", sessionID: id }, output)
    return output
  },
  dispose: async () => {
    await hooks.dispose()
    return {}
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const { call, ...given } = JSON.parse(line)
  say({ done: call, ...(await calls[call](given)) })
}
