-- Bodies made ready beforehand; every answer's status and "default" are looked at.
-- Run by benchmarks/wrk.py: wrk -s wrk.lua URL -- BODIES [CONTENT-TYPE]
local requests, count, position = {}, 0, 0
local threads = {}
bad, defaults = 0, 0

-- Each thread begins at another body: two that ask for the same at once ask for less.
function setup(thread)
    thread:set("share", #threads * 0.618 % 1)
    table.insert(threads, thread)
end

function init(args)
    wrk.headers["Content-Type"] = args[2] or "application/json"
    if args[2] then  -- one body, of any bytes
        local file = io.open(args[1], "rb")
        count = 1
        requests[1] = wrk.format("POST", nil, nil, file:read("*a"))
        file:close()
        return
    end
    for line in io.lines(args[1]) do
        count = count + 1
        requests[count] = wrk.format("POST", nil, nil, line)
    end
    position = math.floor(count * share)
end

request = function()
    position = position % count + 1
    return requests[position]
end

local find = string.find
response = function(status, headers, body)
    if status ~= 200 then
        bad = bad + 1
    elseif not find(body, '"default":false', 1, true) then
        defaults = defaults + 1
    end
end

function done(summary, latency, _)
    local failed, late = 0, 0
    for _, thread in ipairs(threads) do
        failed = failed + thread:get("bad")
        late = late + thread:get("defaults")
    end
    local e = summary.errors
    io.write(string.format(
        'RESULT {"answered":%d,"elapsed_s":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"max_ms":%.3f,"bad":%d,"defaults":%d,"errors":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50) / 1000,
        latency:percentile(99) / 1000, latency.max / 1000, failed, late,
        e.connect + e.read + e.write + e.timeout))
end
