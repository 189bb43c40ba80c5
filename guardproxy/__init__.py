"""guardproxy: a guard in front of any LLM endpoint.

All text of a request, an answer or a stream becomes **events**. A **gate** holds events back until their text is cleared.
**Checks** turn text into **findings**; a **policy** turns findings into a **decision**. One pure object, the **exchange**,
plays these parts for one request: *inputs* in, *commands* out. One driver performs the commands. What the exchange saw and
decided is the **record**, and a record can be **replayed**.

    client -> server -> exchange: codec -> gate -> policy -> placeholders -> server -> model
    client <- server <- exchange: placeholders <- policy <- gate <- codec <- server <- model
                             |                      ^
                          record -> audit log     checks (in threads)

The packages, from the ground up. Imports point towards the ground, and a package imports of another one only what its
`__init__` lists.

    errors, concurrency, signals         exceptions and codes; parts for threads; signals before the start
    findings, plugins, urls              what checks report; parts that other packages bring; reading of URLs
    redaction                            operators, placeholders, stand-ins, shapes
    events, decisions, schemas           decoded wire content; what is done about findings; JSON Schema on growing text
    wire, checks, audit                  formats of APIs; checks; the log of records
    policy                               policy files: rules in, decisions out
    gateway                              what is done for every request beside checking its texts
    exchange                             one request and everything that is answered to it
    config, inference                    settings; the runtime of models
    library, replay                      sets of policies; recorded exchanges again
    policytest, policydiff, server, lab  tests of policies; comparison of policies; the aiohttp server; calibration of models
    demo, testing, cli                   an upstream to play with; promises of plug-ins; the command line

Words. downstream, upstream: the client, the model's API. channel: where a text sits (direction, kind, path). window: a piece
of text that a check gets. settled: the offset up to which no continuation can change the findings. placeholder: the text that
replaces a redacted value.
"""
