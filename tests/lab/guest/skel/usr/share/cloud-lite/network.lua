-- network-config, version 1 or 2, to one shell script for each interface, named by its MAC or its name. Pure.
local network = {}

-- Only what is in an address, a number or a host name may get into a script.
local function safe(value, what)
  if value == nil then error(what .. " is missing", 0) end
  local text = tostring(value)
  if not text:match("^[%w.:/_-]+$") then error(what .. " " .. text .. " is not valid", 0) end
  return text
end

local function each(list)
  if type(list) == "table" then return ipairs(list) end
  return ipairs({ list })
end

local function add_addresses(lines, addresses)
  lines[#lines + 1] = "ip addr flush dev $1"
  for _, address in each(addresses) do
    lines[#lines + 1] = "ip addr add " .. safe(address, "address") .. " dev $1"
  end
end

local function add_route(lines, to, via, metric)
  local target = to and safe(to, "route") or "default"
  if target == "0.0.0.0/0" or target == "::/0" then target = "default" end
  local gateway = safe(via, "gateway")
  local family = gateway:find(":") and "ip -6" or "ip"
  local cost = metric and " metric " .. safe(metric, "metric") or ""
  lines[#lines + 1] = family .. " route replace " .. target .. " via " .. gateway .. " dev $1" .. cost
end

local function add_servers(lines, servers, search)
  for _, server in each(servers) do
    lines[#lines + 1] = "echo nameserver " .. safe(server, "name server") .. " >>/etc/resolv.conf"
  end
  for _, domain in each(search) do
    lines[#lines + 1] = "echo search " .. safe(domain, "search domain") .. " >>/etc/resolv.conf"
  end
end

local function ethernet(settings)
  if type(settings) ~= "table" then error("not a mapping", 0) end
  if not settings.addresses or settings.dhcp4 == true then return nil end
  local lines = {}
  if settings.mtu then lines[#lines + 1] = "ip link set $1 mtu " .. safe(settings.mtu, "mtu") end
  add_addresses(lines, settings.addresses)
  for _, field in ipairs({ "gateway4", "gateway6" }) do
    if settings[field] then add_route(lines, nil, settings[field]) end
  end
  for _, route in each(settings.routes) do add_route(lines, route.to, route.via, route.metric) end
  local servers = settings.nameservers or {}
  add_servers(lines, servers.addresses, servers.search)
  return lines
end

local function version_2(config, add)
  for name, settings in pairs(config.ethernets or {}) do
    local match = type(settings) == "table" and settings.match or {}
    add(match.macaddress or match.name or name, function() return ethernet(settings) end)
  end
end

-- Version 1: subnets of a physical interface; its netmask may stand apart from the address.
local function physical(item)
  local settings = { addresses = {}, routes = {}, nameservers = { addresses = {}, search = {} }, mtu = item.mtu }
  for _, subnet in each(item.subnets) do
    if subnet.type ~= "static" and subnet.type ~= "static6" then return nil end
    local address = subnet.address .. (subnet.netmask and "/" .. subnet.netmask or "")
    table.insert(settings.addresses, address)
    if subnet.gateway then table.insert(settings.routes, { via = subnet.gateway }) end
    for _, server in each(subnet.dns_nameservers) do table.insert(settings.nameservers.addresses, server) end
    for _, domain in each(subnet.dns_search) do table.insert(settings.nameservers.search, domain) end
  end
  return #settings.addresses > 0 and ethernet(settings) or nil
end

local function version_1(config, add)
  if type(config.config) ~= "table" then error("config is not a list", 0) end
  for _, item in each(config.config) do
    if item.type == "physical" then add(item.mac_address or item.name, function() return physical(item) end) end
  end
end

-- Interface to script, and the problems; an interface with a problem has no script. Interfaces on DHCP have none either.
function network.scripts(config)
  local scripts, problems = {}, {}
  config = config.network or config
  local function add(key, make)
    local good, lines = pcall(function()
      key = safe(key, "interface"):lower()
      assert(not key:find("/", 1, true), "interface " .. key .. " is not valid")
      return make()
    end)
    if not good then
      problems[#problems + 1] = "network-config: " .. tostring(key) .. ": " .. tostring(lines)
    elseif lines then
      scripts[key] = table.concat(lines, "\n") .. "\n"
    end
  end
  local reader = ({ [1] = version_1, [2] = version_2 })[config.version]
  if reader then
    local good, complaint = pcall(reader, config, add)
    if not good then problems[#problems + 1] = "network-config: " .. tostring(complaint) end
  elseif next(config) then
    problems[#problems + 1] = "network-config: version " .. tostring(config.version) .. " is not 1 or 2"
  end
  return scripts, problems
end

return network
