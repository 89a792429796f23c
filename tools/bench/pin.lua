-- Pins clients as pinion does without keys, in as few steps as Lua needs: a rule, a cookie whose pin is valid for a day
-- and names a slot, the route header, and the stamp if the upstream sets none. The script verifies, renews and counts
-- nothing.
local match, random, tonumber, time = string.match, math.random, tonumber, os.time
local labels = {v1 = "1.0", v2 = "2.0"}
local ttl = 86400
local pin = "pinion%-shop=[^;~]*~(%d+)~0~(%d+)"
local first, later = "^" .. pin, "; " .. pin

local function slot_of(cookie)
  local issued, slot = match(cookie, first)
  if not slot then
    issued, slot = match(cookie, later)
  end
  if slot and time() - tonumber(issued) < ttl then
    return tonumber(slot)
  end
end

function envoy_on_request(request)
  local headers = request:headers()
  if headers:get(":authority") ~= "shop.example.com" then
    headers:remove("x-app-version")
    return
  end
  local version, fresh
  if headers:get("end-user") == "tester" then
    version = "v2"
  else
    local cookie = headers:get("cookie")
    local slot = cookie and slot_of(cookie)
    if not slot then
      slot = random(0, 99999)
      fresh = slot
    end
    version = slot < 10000 and "v2" or "v1"
  end
  headers:replace("x-app-version", version)
  local kept = request:streamInfo():dynamicMetadata()
  kept:set("pinning", "version", version)
  if fresh then
    kept:set("pinning", "slot", fresh)
  end
end

function envoy_on_response(response)
  local kept = response:streamInfo():dynamicMetadata():get("pinning")
  if kept == nil then
    return
  end
  local headers = response:headers()
  if headers:get("x-app-version") == nil then
    headers:add("x-app-version", labels[kept.version])
  end
  if kept.slot then
    local value = "pinion-shop=" .. kept.version .. "~" .. time() .. "~0~" .. string.format("%d", kept.slot)
    headers:add("set-cookie", value .. "; Path=/; Max-Age=" .. ttl .. "; SameSite=Lax; HttpOnly")
  end
end
