-- What the scripts have in common: their words, the ids of their sessions, the account of their answers.
--
-- wrk has one Lua state per thread. It calls request() for what to send next, on whichever connection is free, and response() for what came,
-- without saying on which connection. So a script knows an answer by what it says, never by when it comes. Before the run wrk calls request()
-- once and throws away what it returns, to count the requests in it: the first call must not take anything that is missing later.
--
-- Words follow the URL and `--`:  wrk -t1 -c64 -d5 -s perf/wrk/control.lua http://127.0.0.1:8080 -- what=hb door=/pushlet.srv

local common = {}

local find, match, sub = string.find, string.match, string.sub

-- The account of one thread. They are globals, because `done` of the main state reads them by name.
right_answers, wrong_answers, joined_answers, first_wrong_answer = 0, 0, 0, ""

local threads = {}

-- Called by wrk in its main state, once for each thread.
function setup(thread)
    table.insert(threads, thread)
end

-- words ARGS DEFAULTS: the words `key=value` of the command line; a key that has no default is an error.
function common.words(args, defaults)
    local words = {}
    for key, value in pairs(defaults) do
        words[key] = value
    end
    for _, word in ipairs(args) do
        local key, value = match(word, "^([a-z]+)=(.*)$")
        if key == nil or defaults[key] == nil then
            error("not understood: " .. word, 0)
        end
        words[key] = value
    end
    return words
end

-- get TARGET: the bytes of a GET request.
function common.get(target)
    return wrk.format("GET", target)
end

-- right: an answer that is as it should be.
function common.right()
    right_answers = right_answers + 1
end

-- wrong STATUS BODY: any other answer. A refusal may be quicker than the work: it is counted here and nowhere else.
function common.wrong(status, body)
    if wrong_answers == 0 then
        first_wrong_answer = status .. " " .. sub(body, 1, 200)
    end
    wrong_answers = wrong_answers + 1
end

-- id_of BODY EVENT: the id of the session that the ack of this name tells, in format json; nil if this is no such ack.
function common.id_of(body, event)
    if not find(body, '"p_event":"' .. event .. '"', 1, true) then
        return nil
    end
    return match(body, '"p_id":"([%w_-]+)"')
end

-- is_ack STATUS BODY MARK: whether this is a 200 whose text has the mark.
function common.is_ack(status, body, mark)
    return status == 200 and find(body, mark, 1, true) ~= nil
end

local function quoted(text)
    local escaped = string.gsub(text, '[%c"\\\127-\255]', function(character)
        return string.format("\\u%04x", string.byte(character))
    end)
    return '"' .. escaped .. '"'
end

-- Called by wrk in its main state at the end: one line for people, one JSON object for programs.
function done(summary, latency, _)
    local right, wrong, joined, first = 0, 0, 0, ""
    for _, thread in ipairs(threads) do
        right = right + thread:get("right_answers")
        wrong = wrong + thread:get("wrong_answers")
        joined = joined + thread:get("joined_answers")
        first = first ~= "" and first or thread:get("first_wrong_answer")
    end
    local errors = summary.errors
    local broken = errors.connect + errors.read + errors.write + errors.timeout
    local seconds = summary.duration / 1e6
    print(string.format("answers: %d right, %d wrong; %d sessions joined, %d connections broken or too late", right, wrong, joined, broken))
    if wrong > 0 then
        print("WRONG: " .. first)
    end
    local fields = {
        string.format('"seconds":%.6f,"right":%d,"wrong":%d,"joined":%d,"broken":%d', seconds, right, wrong, joined, broken),
        string.format('"requests_per_second":%.3f,"bytes":%.0f', right / seconds, summary.bytes),
        string.format('"request_us_mean":%.1f', latency.mean),
        string.format('"request_us_p50":%.0f', latency:percentile(50)),
        string.format('"request_us_p90":%.0f', latency:percentile(90)),
        string.format('"request_us_p99":%.0f', latency:percentile(99)),
        string.format('"request_us_p99_9":%.0f', latency:percentile(99.9)),
        string.format('"request_us_max":%.0f', latency.max),
        '"first_wrong":' .. quoted(first),
    }
    print("json: {" .. table.concat(fields, ",") .. "}")
end

return common
