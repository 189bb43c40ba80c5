"""guardproxy: a guard in front of any LLM endpoint.

All text of a request, an answer or a stream becomes **events** (`events`, `wire`). A **gate** holds events back until
their text is cleared (`gate`, `lanes`). **Checks** turn text into **findings** (`checks`, `findings`); a **policy**
turns findings into a **decision** (`policy`, `decisions`), and what is cut out gives way to a stand-in (`editing`). One
pure object, the **exchange**, plays these parts for one request: *inputs* in, *commands* out (`exchange`,
`transcript`); one driver performs them (`server`). What was seen and decided is the **record** (`record`, `audit`), and
a record can be **replayed** (`replay`, `differences`). What a reviewer asks of policies before they see traffic is
answered by the same exchange: tests that policy files carry (`trials`), two sets of policies beside each other (`comparing`).

The exchange is a machine in two halves: `exchange` (the request) and `answering` (the answers; a rule may want another one,
`attempts`), over what they share (`machine`). `forms` knows what an answer must look like, `schemas` judges whether it does;
`operators` says what stands for a value, `shapes` what a schema asks of one place, `stand_ins` what fits there. `receipt` tells
the client what was looked at; `plugins` finds what other packages bring, `remote` asks services that judge texts elsewhere,
`testing` holds checks to their promise.

    client -> server -> exchange: codec -> gate -> policy -> placeholders -> server -> model
    client <- server <- exchange: placeholders <- policy <- gate <- codec <- server <- model
                             |                      ^
                          record -> audit log     checks (in threads)

downstream, upstream: the client, the model's API. channel: where a text sits (direction, kind, path). window: text handed
to a check. settled: how far no continuation can change what was found. placeholder: what stands for a redacted value.
"""

from __future__ import annotations
