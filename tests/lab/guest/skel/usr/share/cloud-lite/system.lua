-- Files and commands.
local system = {}

-- A word for the shell, whatever is in it.
function system.quote(word)
  return "'" .. tostring(word):gsub("'", "'\\''") .. "'"
end

-- Run a command without a shell's reading of its words; true when it succeeds.
function system.run(...)
  local words = {}
  for _, word in ipairs({ ... }) do words[#words + 1] = system.quote(word) end
  return (os.execute(table.concat(words, " ")))
end

-- Run a command with text on its standard input; true when it succeeds.
function system.feed(text, ...)
  local words = {}
  for _, word in ipairs({ ... }) do words[#words + 1] = system.quote(word) end
  local pipe = assert(io.popen(table.concat(words, " "), "w"))
  pipe:write(text)
  return (pipe:close())
end

function system.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function put(path, text, mode)
  local file, complaint = io.open(path, mode)
  if not file then return nil, complaint end
  file:write(text)
  return file:close()
end

function system.write(path, text) return put(path, text, "wb") end

function system.append(path, text) return put(path, text, "ab") end

return system
