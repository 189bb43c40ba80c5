"""The memory seam: what an exchange knows of earlier ones, and what it leaves for later ones.

A user of the seam is a `MemoryUse` (`use.py`) in a file of this folder and in `uses.py`; nothing else names it. It declares

    wanted(bound)      whether a set of rules needs it; asked once for a set. Exchanges without such rules pay nothing
    keys(asking)       the names of the entries to recall: a conversation (`conversations.py`), a server, nothing (`""`)
    scope              who shares an entry: `client`, `tenant` or `all`
    type               the type of the value of a member, read and written as JSON
    ttl_s, most        how long a member lives, and how many an entry may have; the oldest go first
    recalled(memory, facts)  what checks see of it: new facts of all texts
    left(ending)       what the exchange leaves at its end, as calls of `ExchangeMemory.put` and `.drop`
    recorded(values)   the part of what was recalled that the record keeps, so that a replay gets it again

The way of it: after the rules are known and before a check reads a text, the exchange gives `RecallMemory` and waits in the
state `recalling` for `MemoryRecalled`. While it runs, `guard.memory.values(USE)` has the values by member, the oldest first. At
its end, the driver asks `Exchange.memory_changes` and writes them once the record is durable, before the client gets the end of
its answer. What must be used once is claimed amid an exchange: `ClaimMemory`, `MemoryClaimed`.

Values hold digests and names, never texts of a client: a text is kept as a keyed digest (`asking.setting.keys.seal`).

Decision: docs/decisions/0067-one-memory-for-what-exchanges-leave.md
"""
