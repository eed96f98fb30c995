// Written by `maestro hooks install opencode`. `maestro hooks uninstall opencode` removes it.
//
// OpenCode runs no commands at its events. This plugin runs the commands below, with the input and the answers that
// hooks of other agents have. A `.wake` in the mailbox of an idle session starts a turn of it, with fixed words. An
// error of ours never reaches OpenCode; logs/hooks.log in the data directory has it.

import { spawn } from "node:child_process"
import { existsSync, lstatSync, unlinkSync, watch } from "node:fs"
import { basename, dirname, join } from "node:path"

const settings = @settings@
const notice = @notice@

// `opencode run` ends with its turn, so a turn that we begin after that would be lost, and its mail with it.
const endsWithTurn = process.argv.includes("run")

function command(event) {
  const { command: line = "", timeout = 20 } = settings.hooks[event]?.[0]?.hooks?.[0] ?? {}
  return { line: endsWithTurn ? line.replace(/ SessionStart wake(?= && |$)/g, " SessionStart no-wake") : line, timeout }
}

// Run the hook of an event. Returns the text for the model, and the file to watch; both may be empty.
function hook(session, event, more = {}) {
  const { line, timeout } = command(event)
  if (!line) return Promise.resolve({})
  return new Promise((resolve) => {
    const child = spawn("/bin/sh", ["-c", line], { stdio: ["pipe", "pipe", "ignore"], timeout: timeout * 1000 })
    const said = []
    child.stdout.on("data", (part) => said.push(part))
    child.stdin.on("error", () => {})
    child.on("error", () => resolve({}))
    child.on("close", () => {
      try {
        const answer = JSON.parse(Buffer.concat(said).toString()).hookSpecificOutput
        resolve({ text: answer.additionalContext, watched: answer.watchPaths?.[0] })
      } catch {
        resolve({}) // it has nothing to say
      }
    })
    child.stdin.end(JSON.stringify({ session_id: session.id, cwd: session.directory, hook_event_name: event, ...more }))
  })
}

// A second copy, in the folder of a project, has nothing to do.
const directories = (globalThis[Symbol.for("maestro.directories")] ??= new Set())

export const Maestro = async ({ client, directory }) => {
  if (directories.has(directory)) return {}
  directories.add(directory)
  const sessions = new Map()

  // The session of a conversation; null for that of a subagent, whose mail would not reach the agent itself.
  async function find(id) {
    if (!sessions.has(id)) {
      const found = await client.session.get({ path: { id } })
      sessions.set(id, found.data?.parentID ? null : { id, directory, isBusy: false, again: false, kept: [] })
    }
    return sessions.get(id)
  }

  async function prompt(session, text) {
    const { agent, model, variant } = session
    const body = { parts: [{ type: "text", text }], agent, model, ...(variant ? { variant } : {}) }
    const done = await client.session.promptAsync({ path: { id: session.id }, query: { directory }, body })
    if (done.error) throw done.error
  }

  async function start(session) {
    session.isStarted = true
    const { text, watched } = await hook(session, "SessionStart", { source: "startup" })
    session.watcher?.close()
    session.wakeFile = watched
    if (watched) {
      session.watcher = watch(dirname(watched), { persistent: false }, (_, name) => {
        if (!name || name === basename(watched)) wake(session)
      })
      session.watcher.on("error", () => session.watcher.close())
    }
    return text
  }

  // Begin a turn if the broker asks for it. Who removes the file has claimed the wake. A turn that runs already brings
  // the mail by itself.
  function wake(session) {
    if (!session.wakeFile || session.isBusy) return
    try {
      if (!lstatSync(session.wakeFile).isFile()) return
      if (!existsSync(join(dirname(session.wakeFile), ".pending"))) return
      unlinkSync(session.wakeFile)
    } catch {
      return
    }
    session.isBusy = true
    prompt(session, notice).catch(() => (session.isBusy = false))
  }

  async function end(session) {
    session.isBusy = false
    const { hasFailed } = session
    session.hasFailed = false
    if (hasFailed || endsWithTurn) {
      // The person has broken the turn off, or the model can't be reached: it is idle, and is not to go on.
      await hook(session, "Notification", { notification_type: "idle_prompt" })
    } else {
      const { text } = await hook(session, "Stop", { stop_hook_active: session.again })
      if (text) {
        session.again = true
        session.going = text
        await prompt(session, text).catch(() => {
          session.going = undefined
          session.kept.push(text)
        })
        return
      }
    }
    wake(session)
  }

  async function leave(session) {
    session.watcher?.close()
    sessions.delete(session.id)
    await hook(session, "SessionEnd", { reason: "other" })
  }

  const started = () => [...sessions.values()].filter((session) => session?.isStarted)

  const events = {
    "session.status": (session, { status }) => (session.isBusy = status?.type !== "idle"),
    "session.error": (session) => (session.hasFailed = true),
    "session.idle": (session) => end(session),
    "session.compacted": (session) => (session.isStarted = false),
    "session.deleted": (session) => leave(session),
    "permission.asked": (session, { permission }) => hook(session, "PermissionRequest", { tool_name: permission }),
    "question.asked": (session) => hook(session, "PermissionRequest", { tool_name: "question" }),
  }

  return {
    event: async ({ event }) => {
      const properties = event.properties ?? {}
      const session = sessions.get(properties.sessionID ?? properties.info?.id)
      if (session?.isStarted) await events[event.type]?.(session, properties)
    },

    "chat.message": async (input, output) => {
      const session = await find(input.sessionID).catch(() => null)
      if (!session) return
      const { agent, model } = output.message
      Object.assign(session, { agent, model, variant: input.variant, isBusy: true })
      const said = output.parts.filter((part) => part.type === "text").map((part) => part.text).join("\n")
      const texts = session.kept.splice(0)
      if (!session.isStarted) texts.push(await start(session))
      const goesOn = said === session.going
      session.going = undefined
      if (!goesOn) {
        session.again = false
        texts.push((await hook(session, "UserPromptSubmit", { prompt: said })).text)
      }
      const text = texts.filter(Boolean).join("\n\n")
      const last = output.parts.at(-1)
      // The parts of a message are in the order of their ids.
      if (text && last) {
        const { id: messageID, sessionID } = output.message
        output.parts.push({ id: `${last.id}m`, messageID, sessionID, type: "text", synthetic: true, text })
      } else if (text) {
        session.kept.push(text)
      }
    },

    "tool.execute.after": async ({ tool, sessionID }, output) => {
      const session = sessions.get(sessionID)
      if (!session?.isStarted || typeof output?.output !== "string") return
      const { text } = await hook(session, "PostToolUse", { tool_name: tool })
      if (text) output.output += `\n\n${text}`
    },

    "shell.env": async ({ sessionID }, output) => {
      if (sessionID) output.env.OPENCODE_SESSION_ID = sessionID
    },

    dispose: async () => {
      directories.delete(directory)
      await Promise.all(started().map(leave))
    },
  }
}
