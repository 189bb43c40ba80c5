"""guardproxy: a guard in front of any LLM endpoint.

All text of a request, an answer or a stream becomes **events** (`events`, `wire`). A **gate** holds events back until
their text is cleared (`gate`). **Checks** turn text into **findings** (`checks`, `findings`); a **policy** turns
findings into a **decision** (`policy`, `decisions`). One pure object, the **exchange**, plays these parts for one
request: *inputs* in, *commands* out (`exchange`, `transcript`); one driver performs them (`server`). What was seen and
decided is the **record** (`record`, `audit`), and a record can be **replayed** (`replay`).

The exchange is a machine in two halves: `exchange` (the request) and `answering` (the answers; a rule may want another one,
`attempts`), over what they share (`machine`). `forms` knows what an answer must look like, `schemas` judges whether it does.

    client -> server -> exchange: codec -> gate -> policy -> placeholders -> server -> model
    client <- server <- exchange: placeholders <- policy <- gate <- codec <- server <- model
                             |                      ^
                          record -> audit log     checks (in threads)

downstream, upstream: the client, the model's API. channel: where a text sits (direction, kind, path). window: text handed
to a check. settled: how far no continuation can change what was found. placeholder: what stands for a redacted value.
"""

from __future__ import annotations
