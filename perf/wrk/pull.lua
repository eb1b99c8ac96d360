-- The pull cycle: a refresh that waits for an event, the publish that ends the wait, and again.
--
--   wrk -t1 -c64 -d5 -s perf/wrk/pull.lua URL       (at least two connections a thread: one waits while another publishes)
--
--   door=PATH  where the Pushlet protocol is [/pushlet.srv]
--
-- Events go to one session each, by its public address, and only while its refresh is out, so that each refresh brings exactly one event: no
-- event or several, or one that says that some were lost, is a wrong answer. Clients come again at once and not after p_wait, which would measure
-- how long p_wait is. A cycle is two requests.

local here = string.match(debug.getinfo(1, "S").source, "^@(.*/)") or "./"
local common = dofile(here .. "common.lua")

local find, match = string.find, string.match

-- Sessions by id: { refresh = request, publish = request, out = whether a refresh is under way }. `free`: those without one, a stack. `waiting`:
-- the one whose refresh is out and whose event is not; there is at most one, because the next request after a refresh is its publish.
local sessions, free, waiting = {}, {}, nil
local join, door
-- Publishes on their way: their acks do not say whose they are.
local publishing = 0

function init(args)
    door = common.words(args, { door = "/pushlet.srv" }).door
    join = common.get(door .. "?p_event=join-listen&p_mode=pull&p_format=json&p_subject=/wrk/pull")
end

function request()
    if waiting then
        local session = waiting
        waiting, publishing = nil, publishing + 1
        return session.publish
    end
    local session = table.remove(free)
    if session == nil then
        return join
    end
    session.out, waiting = true, session
    return session.refresh
end

local function came(body)
    local id, address = common.id_of(body, "join-listen-ack"), match(body, '"p_from":"([%w_-]+)"')
    if id == nil or address == nil or sessions[id] then
        return false
    end
    local text = "&text=0123456789012345678901234567890123456789012345678901234567890123"
    sessions[id] = {
        refresh = common.get(door .. "?p_event=refresh&p_id=" .. id),
        publish = common.get(door .. "?p_event=publish&p_id=" .. id .. "&p_subject=/wrk/pull&p_to=" .. address .. text),
        out = false,
    }
    table.insert(free, sessions[id])
    joined_answers = joined_answers + 1
    return true
end

local function refreshed(body)
    local session = sessions[match(body, '"p_url":"[^"]*p_id=([%w_-]+)') or ""]
    if session == nil or not session.out then
        return false
    end
    session.out = false
    table.insert(free, session)
    local one = '^%[{"p_event":"refresh%-ack"[^}]*}%s*,{"p_seq":"1"[^}]*"p_event":"data"[^}]*}%s*,{"p_event":"refresh"[^}]*}%s*%]'
    return match(body, one) ~= nil and find(body, '"p_lost"', 1, true) == nil
end

local function published(body)
    if publishing == 0 or not find(body, '"p_event":"publish-ack"', 1, true) then
        return false
    end
    publishing = publishing - 1
    return true
end

function response(status, _, body)
    if status == 200 and (published(body) or refreshed(body) or came(body)) then
        common.right()
    else
        common.wrong(status, body)
    end
end
