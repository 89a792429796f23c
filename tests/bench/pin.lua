-- Pins clients as pinion does without keys, in as few steps as Lua needs: a rule, a cookie that holds a slot, the route
-- header, the stamp. It verifies nothing, renews nothing and counts nothing.
local match, random, tonumber, time = string.match, math.random, tonumber, os.time
local labels = {v1 = "1.0", v2 = "2.0"}

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
    local slot = cookie and tonumber(match(cookie, "pinion%-shop=[^;~]*~%d+~%d+~(%d+)"))
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
  headers:replace("x-app-version", labels[kept.version])
  if kept.slot then
    local pin = "pinion-shop=" .. kept.version .. "~" .. time() .. "~0~" .. string.format("%d", kept.slot)
    headers:add("set-cookie", pin .. "; Path=/; Max-Age=86400; SameSite=Lax; HttpOnly")
  end
end
