-- The NoCloud seed, read once a boot and parsed.
local lyaml = require("lyaml")
local system = require("system")
local seed = {}

local COPY = "/run/seed/"
local MOUNT = "/run/seedmnt"

local function copy_from_disk()
  if system.run("test", "-d", COPY) then return end
  system.run("mkdir", "-p", COPY, MOUNT)
  for _, label in ipairs({ "cidata", "CIDATA" }) do
    if system.run("sh", "-c", 'disk=$(findfs "LABEL=$1" 2>/dev/null) && mount -o ro "$disk" "$2"', "sh", label, MOUNT) then
      system.run("sh", "-c", 'cp "$1"/* "$2"', "sh", MOUNT, COPY)
      system.run("umount", MOUNT)
      return
    end
  end
end

-- nil for what YAML calls null, all the way down.
local function plain(value)
  if value == lyaml.null then return nil end
  if type(value) ~= "table" then return value end
  local copy = {}
  for key, item in pairs(value) do copy[key] = plain(item) end
  return copy
end

-- A YAML mapping of a file; an empty one with a problem noted when it is something else.
local function mapping(name, text, problems)
  local good, value = pcall(lyaml.load, text)
  value = good and plain(value) or value
  if good and type(value) == "table" then return value end
  if good and value == nil then return {} end
  problems[#problems + 1] = name .. ": " .. (good and "not a mapping" or tostring(value))
  return {}
end

-- User or vendor data by its first line, as cloud-init does: a script or a cloud-config.
local function directives(name, problems)
  local text = system.read(COPY .. name)
  if not text or not text:find("%S") then return { config = {} } end
  if text:sub(1, 2) == "#!" then return { config = {}, script = text } end
  if text:match("^#cloud%-config%s*\n") or text:match("^#cloud%-config%s*$") then
    return { config = mapping(name, text, problems) }
  end
  problems[#problems + 1] = name .. ": begins with neither #! nor #cloud-config, ignored"
  return { config = {} }
end

-- All of the seed, nil when there is none: id, meta, network, config (a key of the user's wins over the vendor's), scripts.
function seed.load()
  copy_from_disk()
  local meta_text = system.read(COPY .. "meta-data")
  if not meta_text then return nil end
  local problems = {}
  local vendor, user = directives("vendor-data", problems), directives("user-data", problems)
  local config = vendor.config
  for key, value in pairs(user.config) do config[key] = value end
  local meta = mapping("meta-data", meta_text, problems)
  return {
    id = tostring(meta["instance-id"] or "nocloud"),
    meta = meta,
    network = mapping("network-config", system.read(COPY .. "network-config") or "", problems),
    config = config,
    scripts = { vendor.script, user.script },
    problems = problems,
  }
end

return seed
