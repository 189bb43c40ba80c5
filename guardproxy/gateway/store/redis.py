"""A store that several processes and replicas share: a server of Redis or Valkey, with the library `redis` (the extra `redis`).

In: calls. Out: answers. A list of calls is one run of a script in the server, so it is atomic and takes one round trip. The
server's clock counts, so the clocks of replicas do not matter. All keys begin with `guardproxy:`, and each expires. Kept: a
connection pool. A request waits for a free connection, because a burst is no sign that the server is away.

The forms of values: a counter or a text is a string with its type before it (`i5`, `sname`); a rate is the time at which its
level is 0, in microseconds; a sum is a hash of `settled` and `held`, beside a sorted set of the exchanges that reserved by the
ends of their reservations, a hash of their amounts and processes, and a hash of the number of reservations of each process.
Beside the lease of a process is a hash of its reservations with their turns. A map is a text of JSON (`m[...]`): a list of
members, the oldest first, each with its value and the millisecond at which it expires. A process without a lease is dead: what
it reserved is given back. One server holds all keys: the script does not run in a cluster.

Decision: docs/decisions/0049-a-process-has-a-lease.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from guardproxy.errors import ConfigError, RefusedError, StoreBusyError, StoreError
from guardproxy.gateway.store.calls import (
    LEASE_S,
    SETTLED_S,
    Add,
    Answer,
    Call,
    Drop,
    Get,
    Put,
    Renew,
    Settle,
    Take,
    lease_of,
)
from guardproxy.gateway.store.map_calls import ChangeMap, ClaimMember, GetMap

PREFIX = "guardproxy:"
TIMEOUT_S = 1.0  # for an answer of the server
WAIT_S = 60.0  # for a free connection; who waits goes on without the server at once if another call finds it away
CONNECTIONS = 32
_TICKS = 10

# Each call is a key in KEYS and nine values in ARGV: kind, id, amount, most or used, hold (us), ttl (ms), flag, lease, turn.
# Numbers in a double are exact up to 2^53, which is 285 years of microseconds. `%.0f` keeps Lua from writing them as 1.7e+15.
_WIDTH = 9
_SCRIPT = (
    """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local function whole(number) return string.format('%.0f', number) end
local function rate(key) return math.max(0, tonumber(redis.call('GET', key) or '0') - now) end
local function put_rate(key, level)
  if level <= 0 then redis.call('DEL', key)
  else redis.call('SET', key, whole(now + level), 'PX', math.ceil(level / 1000) + 1) end
end
local function held_by(lease) return (string.gsub(lease, 'lease:', 'held:', 1)) end
local function release(key, id)
  if redis.call('ZREM', key .. ':held', id) == 1 then
    local amount, lease = string.match(redis.call('HGET', key .. ':amounts', id) or '0 ', '^(%d+) (.*)$')
    redis.call('HINCRBY', key, 'held', whole(0 - tonumber(amount)))
    redis.call('HDEL', key .. ':amounts', id)
    if lease ~= '' then
      redis.call('HDEL', held_by(lease), key .. ' ' .. id)
      if redis.call('HINCRBY', key .. ':leases', lease, -1) <= 0 then redis.call('HDEL', key .. ':leases', lease) end
    end
  end
end
local function release_dead(key, lease)
  local amounts = redis.call('HGETALL', key .. ':amounts')
  for i = 1, #amounts, 2 do
    if string.match(amounts[i + 1], ' (.*)$') == lease then release(key, amounts[i]) end
  end
  redis.call('HDEL', key .. ':leases', lease)
end
local function hold(key, id, amount, lease, turn, ms)
  redis.call('HSET', key .. ':amounts', id, amount .. ' ' .. lease)
  if lease ~= '' then
    redis.call('HINCRBY', key .. ':leases', lease, 1)
    redis.call('HSET', held_by(lease), key .. ' ' .. id, turn)
    if redis.call('PTTL', held_by(lease)) < tonumber(ms) then redis.call('PEXPIRE', held_by(lease), ms) end
  end
end
local function renew(lease, turn, names)
  local named, given_back = {}, 0
  redis.call('SET', lease, '1', 'PX', LEASE)
  for name in string.gmatch(names, '[^\\n]+') do named[name] = true end
  local held = redis.call('HGETALL', held_by(lease))
  for i = 1, #held, 2 do
    if not named[held[i]] and tonumber(held[i + 1]) < tonumber(turn) then
      release(string.match(held[i], '^(.*) (.*)$'))
      redis.call('HDEL', held_by(lease), held[i])
      given_back = given_back + 1
    end
  end
  return 'i' .. given_back
end
local function sum(key)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', key .. ':held', '-inf', whole(now))) do release(key, id) end
  for _, lease in ipairs(redis.call('HKEYS', key .. ':leases')) do
    if redis.call('EXISTS', lease) == 0 then release_dead(key, lease) end
  end
  local parts = redis.call('HMGET', key, 'settled', 'held')
  return tonumber(parts[1] or '0') + tonumber(parts[2] or '0')
end
local function keep(key, ms)
  for _, part in ipairs({'', ':held', ':amounts', ':leases'}) do redis.call('PEXPIRE', key .. part, ms) end
end
local now_ms = math.floor(now / 1000)
local function members_of(key)
  local stored, found = redis.call('GET', key), {}
  if stored and string.sub(stored, 1, 1) == 'm' then
    for _, member in ipairs(cjson.decode(string.sub(stored, 2))) do
      if tonumber(member[3]) > now_ms then found[#found + 1] = member end
    end
  end
  return found
end
local function put_members(key, members)
  if #members == 0 then return redis.call('DEL', key) end
  local last = 0
  for _, member in ipairs(members) do last = math.max(last, tonumber(member[3])) end
  redis.call('SET', key, 'm' .. cjson.encode(members), 'PX', whole(last - now_ms))
end
local function take_member(members, name)
  for at, member in ipairs(members) do
    if member[1] == name then return table.remove(members, at) end
  end
end
local function change(key, text, most, most_bytes)
  local asked, rows, place_of = cjson.decode(text), {}, {}
  local function add(member)
    rows[#rows + 1] = member
    place_of[member[1]] = #rows
  end
  local function drop(name)
    if place_of[name] then rows[place_of[name]] = false end
    place_of[name] = nil
  end
  for _, member in ipairs(members_of(key)) do add(member) end
  for _, name in ipairs(asked[2]) do drop(name) end
  for _, put in ipairs(asked[1]) do
    local known = rows[place_of[put[1]]]
    local expires = now_ms + tonumber(put[3])
    if known and put[4] == 'absent' then
      known[3] = whole(math.max(tonumber(known[3]), expires))
    elseif known or put[4] ~= 'present' then
      drop(put[1])
      add({put[1], put[2], whole(expires)})
    end
  end
  local kept, members, size = {}, {}, 0
  for at = #rows, 1, -1 do
    local member = rows[at]
    if member then
      size = size + #member[1] + #member[2]
      if #kept >= most or size > most_bytes then break end
      kept[#kept + 1] = member
    end
  end
  for at = #kept, 1, -1 do members[#members + 1] = kept[at] end
  put_members(key, members)
  return 'i' .. #members
end
local function claim(key, name)
  local members = members_of(key)
  local claimed = take_member(members, name)
  if not claimed then return 'n' end
  put_members(key, members)
  return 's' .. claimed[2]
end
local function shown(key)
  local members, pairs_of = members_of(key), {}
  for at, member in ipairs(members) do pairs_of[at] = {member[1], member[2]} end
  return #members == 0 and 'n' or 's' .. cjson.encode(pairs_of)
end
local calls, levels, fit = {}, {}, true
for at, key in ipairs(KEYS) do
  local call = {}
  for i = 1, WIDTH do call[i] = ARGV[(at - 1) * WIDTH + i] end
  calls[at] = call
  if call[1] == 'take' then
    if call[8] ~= '' then redis.call('SET', call[8], '1', 'PX', LEASE, 'NX') end
    levels[at] = call[5] == '0' and rate(key) or sum(key)
    call.fits = levels[at] + tonumber(call[3]) <= tonumber(call[4])
    if call[7] == '1' and not call.fits then fit = false end
  end
end
local answers = {}
for at, key in ipairs(KEYS) do
  local call = calls[at]
  local kind, id, amount, fourth, hold_us, ttl, flag, lease, turn = unpack(call)
  if kind == 'add' then
    local old = redis.call('GET', key)
    if old and string.sub(old, 1, 1) ~= 'i' then return redis.error_reply('TEXT') end
    local new = 'i' .. whole(tonumber(old and string.sub(old, 2) or '0') + tonumber(amount))
    if old then redis.call('SET', key, new, 'KEEPTTL') else redis.call('SET', key, new, 'PX', ttl) end
    answers[at] = new
  elseif kind == 'get' then
    answers[at] = redis.call('GET', key) or 'n'
  elseif kind == 'put' then
    local done
    if flag == '1' then done = redis.call('SET', key, id, 'PX', ttl, 'NX') else done = redis.call('SET', key, id, 'PX', ttl) end
    answers[at] = done and 't' or 'f'
  elseif kind == 'drop' then
    answers[at] = redis.call('DEL', key) == 1 and 't' or 'f'
  elseif kind == 'take' then
    if fit and call.fits and hold_us == '0' then put_rate(key, levels[at] + tonumber(amount))
    elseif fit and call.fits then
      release(key, id)
      redis.call('ZADD', key .. ':held', whole(now + tonumber(hold_us)), id)
      hold(key, id, amount, lease, turn, ttl)
      redis.call('HINCRBY', key, 'held', amount)
      keep(key, ttl)
    end
    answers[at] = 'i' .. whole(levels[at])
  elseif kind == 'renew' then
    answers[at] = renew(key, turn, id)
  elseif kind == 'map' then
    answers[at] = shown(key)
  elseif kind == 'change' then
    answers[at] = change(key, id, tonumber(amount), tonumber(fourth))
  elseif kind == 'claim' then
    answers[at] = claim(key, id)
  elseif not redis.call('SET', key .. ':settled:' .. id, '1', 'PX', SETTLED, 'NX') then
    answers[at] = 'f'
  else
    if flag == '0' then put_rate(key, rate(key) + tonumber(fourth) - tonumber(amount))
    else
      sum(key)
      release(key, id)
      redis.call('HINCRBY', key, 'settled', fourth)
      if sum(key) == 0 and redis.call('ZCARD', key .. ':held') == 0 then redis.call('DEL', key)
      else keep(key, ttl) end
    end
    answers[at] = 't'
  end
end
return answers
""".replace("WIDTH", str(_WIDTH))
    .replace("SETTLED", str(round(SETTLED_S * 1000)))
    .replace("LEASE", str(round(LEASE_S * 1000)))
)


class RedisStore:
    """A store in a server of Redis or Valkey. `url`: such as `redis://host:6379/0`; `timeout_s`: for an answer; `wait_s`: for
    a free connection. Both count the time in which the event loop is free. Raises `ConfigError` if the library is missing or
    the address is wrong."""

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S, wait_s: float = WAIT_S) -> None:
        try:
            from redis import asyncio as library  # noqa: PLC0415
            from redis.asyncio.retry import Retry  # noqa: PLC0415
            from redis.backoff import NoBackoff  # noqa: PLC0415
        except ImportError:
            raise ConfigError("a shared state needs the package redis: pip install 'guardproxy[redis]'") from None
        try:
            pool = library.ConnectionPool.from_url(
                url,
                max_connections=CONNECTIONS,
                socket_timeout=None,  # `_within` ends a call
                socket_connect_timeout=None,
                retry=Retry(NoBackoff(), 0),  # a script that ran, and whose answer was lost, must not run twice
            )
        except ValueError as error:
            raise ConfigError(f"`state`: {error}") from None
        self._client: Any = library.Redis(connection_pool=pool)
        self._script = self._client.register_script(_SCRIPT)
        self._timeout_s = timeout_s
        self._wait_s = wait_s
        self._connections = asyncio.Semaphore(CONNECTIONS)
        self._failures = 0

    async def perform(self, calls: Sequence[Call]) -> tuple[Answer, ...]:
        """See `Store.perform`. Raises `StoreError` if the server does not answer, or not in time, and `StoreBusyError` if no
        connection became free."""
        keys = [PREFIX + call.key for call in calls]
        answers = await self._answered(lambda: self._script(keys, [value for call in calls for value in _values(call)]))
        return tuple(map(_answer, answers))

    async def ask(self, *words: str | bytes | int) -> Any:
        """Returns the answer to a command, as the library reads it. Raises as `perform` does, and `RefusedError` if the server
        refuses the command."""
        return await self._answered(lambda: self._client.execute_command(*words))

    async def _answered(self, asking: Callable[[], Awaitable[Any]]) -> Any:
        """Returns what the server answers, once a connection is free."""
        failures = self._failures
        try:
            async with _within(self._wait_s):
                await self._connections.acquire()
        except TimeoutError:
            raise StoreBusyError("the state answers too slowly for the number of requests") from None
        try:
            if self._failures > failures:  # who waits does not wait a second time for a server that hangs
                raise StoreError("the state did not answer to other requests")
            return await self._asked(asking)
        finally:
            self._connections.release()

    async def _asked(self, asking: Callable[[], Awaitable[Any]]) -> Any:
        from redis import RedisError, ResponseError  # noqa: PLC0415

        try:
            async with _within(self._timeout_s):
                return await asking()
        except ResponseError as error:
            if str(error).startswith("TEXT"):
                raise TypeError("a key holds a text, to which nothing can be added") from None
            raise RefusedError(f"the state refused a call: {error}") from None
        except (RedisError, OSError) as error:
            self._failures += 1
            raise StoreError(f"the state cannot be reached: {type(error).__name__}") from None

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.aclose()
        await self._client.connection_pool.disconnect()


@asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    """Raises `TimeoutError` after this time. A loop that is busy runs the timer late, and before the answer that waits in the
    socket: so the time is counted in parts, between which the loop reads what has come."""
    loop = asyncio.get_running_loop()
    timer: asyncio.TimerHandle
    async with asyncio.timeout(None) as limit:

        def tick(left: int) -> None:
            nonlocal timer
            if left:
                timer = loop.call_later(seconds / _TICKS, tick, left - 1)
            else:
                limit.reschedule(loop.time())

        timer = loop.call_later(seconds / _TICKS, tick, _TICKS - 1)
        try:
            yield
        finally:
            timer.cancel()


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _values(call: Call) -> tuple[str | int, ...]:
    """Returns the values of a call for the script."""
    match call:
        case Add():
            return "add", "", call.amount, 0, 0, _ms(call.ttl_s), 0, "", 0
        case Get():
            return "get", "", 0, 0, 0, 0, 0, "", 0
        case Put():
            text = f"i{call.value}" if isinstance(call.value, int) else f"s{call.value}"
            return "put", text, 0, 0, 0, _ms(call.ttl_s), int(call.if_absent), "", 0
        case Drop():
            return "drop", "", 0, 0, 0, 0, 0, "", 0
        case Take():
            hold_us, ttl_ms = round(call.holds_s * 1e6), _ms(max(call.ttl_s, call.holds_s))
            # A rate is taken for good: the end of a process gives nothing back.
            lease = PREFIX + lease_of(call.owner) if call.owner and call.holds_s else ""
            return "take", call.id, call.amount, call.most, hold_us, ttl_ms, int(call.binding), lease, call.turn
        case Settle():
            return "settle", call.id, call.reserved, call.used, 0, _ms(call.ttl_s), int(call.is_sum), "", 0
        case GetMap():
            return "map", "", 0, 0, 0, 0, 0, "", 0
        case ChangeMap():
            puts = [(put.member, put.value, _ms(put.ttl_s), put.only) for put in call.puts]
            text = msgspec.json.encode((puts, call.drops)).decode()
            return "change", text, call.most, call.most_bytes, 0, 0, 0, "", 0
        case ClaimMember():
            return "claim", call.member, 0, 0, 0, 0, 0, "", 0
        case Renew():  # pragma: no branch - a call is one of these ten
            names = "\n".join(f"{PREFIX}{key} {exchange}" for key, exchange in call.named)
            return "renew", names, 0, 0, 0, 0, 0, "", call.turn


def _answer(value: bytes) -> Answer:
    kind, text = value[:1], value[1:]
    if kind == b"i":
        return int(text)
    return text.decode() if kind == b"s" else {b"t": True, b"f": False}.get(kind)
