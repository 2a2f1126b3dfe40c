-- SPDX-License-Identifier: Apache-2.0
-- wrk's script: posts the file that BODY names, or gets without one; the last
-- line is rate, mean, p99 (ms) and how many answers were not 200.
local name = os.getenv("BODY")
if name then
    wrk.method = "POST"
    wrk.headers["Content-Type"] = "application/json"
    wrk.body = io.open(name, "rb"):read("*a")
end
function done(summary, latency)
    local bad = summary.errors
    print(string.format("%f %f %f %d", summary.requests / summary.duration * 1e6,
        latency.mean / 1000, latency:percentile(99) / 1000, bad.status +
        bad.connect + bad.read + bad.write + bad.timeout))
end
