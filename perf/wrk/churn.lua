-- Sessions come and go: a join, then the leave of the id that its answer gave, on connections that stay.
--
--   wrk -t1 -c64 -d5 -s perf/wrk/churn.lua URL
--
--   door=PATH       where the Pushlet protocol is [/pushlet.srv]
--   subject=SUBJECT come as listener on this subject (join-listen, mode poll) and not only by a join []
--
-- A cycle is two requests. The answers say which one they belong to: an id that nobody joined, or that has left before, is a wrong answer.

local here = string.match(debug.getinfo(1, "S").source, "^@(.*/)") or "./"
local common = dofile(here .. "common.lua")

-- The sessions that came and have not been told to leave, a stack; and those whose leave is on its way.
local here_now, count, leaving = {}, 0, {}
local join, event, door

function init(args)
    local words = common.words(args, { door = "/pushlet.srv", subject = "" })
    door, event = words.door, "join-ack"
    local coming = "p_event=join"
    if words.subject ~= "" then
        coming, event = "p_event=join-listen&p_mode=poll&p_subject=" .. words.subject, "join-listen-ack"
    end
    join = common.get(door .. "?" .. coming .. "&p_format=json")
end

function request()
    if count == 0 then
        return join
    end
    local id = here_now[count]
    here_now[count], count = nil, count - 1
    leaving[id] = true
    return common.get(door .. "?p_event=leave&p_id=" .. id)
end

local function came(body)
    local id = common.id_of(body, event)
    if id then
        count = count + 1
        here_now[count] = id
        joined_answers = joined_answers + 1
    end
    return id
end

local function left(body)
    local id = common.id_of(body, "leave-ack")
    local known = id and leaving[id]
    if known then
        leaving[id] = nil
    end
    return known
end

function response(status, _, body)
    if status == 200 and (left(body) or came(body)) then
        common.right()
    else
        common.wrong(status, body)
    end
end
