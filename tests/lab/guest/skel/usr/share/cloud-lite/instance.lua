-- What happens once in the life of an instance.
local system = require("system")
local instance = {}

local LOG = "/var/log/cloud-init-output.log"

local function items(value)
  if type(value) == "table" then return value end
  return { value }
end

local function set_host_name(data)
  local name = data.config.hostname or data.meta["local-hostname"] or data.meta.hostname
  if not name then return end
  name = tostring(name)
  if not name:match("^[%w.-]+$") then error("host name " .. name .. " is not valid", 0) end
  system.write("/etc/hostname", name .. "\n")
  system.write("/etc/hosts", "127.0.0.1 localhost " .. name .. "\n")
  system.run("hostname", name)
end

-- public-keys of the meta-data: a list, one string, or EC2's mapping of a number to a name and a key.
local function set_keys(data)
  local lines = {}
  for _, source in ipairs({ data.meta["public-keys"] or {}, data.config.ssh_authorized_keys or {} }) do
    for _, key in pairs(items(source)) do
      if type(key) == "table" then key = key["openssh-key"] end
      if key then lines[#lines + 1] = tostring(key) end
    end
  end
  system.run("mkdir", "-p", "-m", "700", "/root/.ssh")
  assert(system.write("/root/.ssh/authorized_keys", #lines > 0 and table.concat(lines, "\n") .. "\n" or ""))
  system.run("chmod", "600", "/root/.ssh/authorized_keys")
end

local function set_passwords(data)
  local lines = {}
  if data.config.password then lines[1] = "root:" .. tostring(data.config.password) end
  local changes = data.config.chpasswd or {}
  for _, line in ipairs(items(changes.list or {})) do
    for part in tostring(line):gmatch("[^\n]+") do lines[#lines + 1] = part end
  end
  for _, user in ipairs(changes.users or {}) do lines[#lines + 1] = user.name .. ":" .. tostring(user.password) end
  if #lines > 0 then system.feed(table.concat(lines, "\n") .. "\n", "chpasswd") end
end

local DECODERS = {
  b64 = { "base64", "-d" },
  base64 = { "base64", "-d" },
  gz = { "gunzip" },
  gzip = { "gunzip" },
  ["gz+b64"] = { "sh", "-c", "base64 -d | gunzip" },
  ["gz+base64"] = { "sh", "-c", "base64 -d | gunzip" },
  ["gzip+base64"] = { "sh", "-c", "base64 -d | gunzip" },
}

local function store(path, content, decoder, append)
  local command = 'exec ' .. (append and ">>" or ">") .. ' "$0"; exec "$@"'
  return system.feed(content, "sh", "-c", command, path, table.unpack(decoder))
end

local function write_file(entry)
  local path = assert(entry.path, "an entry has no path")
  local encoding = entry.encoding or "text/plain"
  local decoder = encoding == "text/plain" and { "cat" } or DECODERS[encoding]
  if not decoder then error(path .. ": encoding " .. tostring(encoding) .. " is not known", 0) end
  system.run("mkdir", "-p", path:match("^(.*)/") or ".")
  if not store(path, tostring(entry.content or ""), decoder, entry.append) then error(path .. ": not written", 0) end
  local mode = entry.permissions or "0644"
  system.run("chmod", type(mode) == "number" and string.format("%o", mode) or mode, path)
  if entry.owner then system.run("chown", entry.owner, path) end
end

-- A command is a line for the shell or a list of words; all run in one shell script's order, each on its own.
local function run_command(command)
  local words = type(command) == "table" and command or { "sh", "-c", tostring(command) }
  local good = system.run("sh", "-c", 'log=$1; shift; exec "$@" >>"$log" 2>&1', "sh", LOG, table.unpack(words))
  if not good then error("failed: " .. table.concat(words, " "), 0) end
end

local function run_script(number, text)
  local path = "/var/lib/cloud/script-" .. number
  assert(system.write(path, text))
  system.run("chmod", "700", path)
  run_command({ path })
end

-- Call `step` and note what went wrong; the steps after it still run.
local function try(problems, name, step, ...)
  local good, complaint = pcall(step, ...)
  if not good then problems[#problems + 1] = name .. ": " .. tostring(complaint) end
end

-- Host name, keys, passwords and files: all is there before somebody can log in, as with cloud-init. clone: this disk was another
-- instance before.
function instance.prepare(data, clone)
  local problems = {}
  if clone then system.run("rm", "-f", "/etc/dropbear/key") end
  try(problems, "hostname", set_host_name, data)
  try(problems, "ssh keys", set_keys, data)
  try(problems, "chpasswd", set_passwords, data)
  for _, entry in ipairs(data.config.write_files or {}) do try(problems, "write_files", write_file, entry) end
  return problems
end

-- Commands and scripts of the user and the vendor.
function instance.apply(data)
  local problems = {}
  for _, command in ipairs(data.config.runcmd or {}) do try(problems, "runcmd", run_command, command) end
  for number, script in pairs(data.scripts) do try(problems, "script", run_script, number, script) end
  return problems
end

return instance
