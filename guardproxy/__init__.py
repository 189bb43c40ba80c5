"""guardproxy: a guard in front of any LLM endpoint.

All text of a request, an answer or a stream becomes **events**. A **gate** holds events back until their text is
cleared. **Checks** turn text into **findings**; a **policy** turns findings into a **decision**. One pure object, the
**exchange**, plays these parts for one request: *inputs* in, *commands* out. One driver performs the commands. The
**record** holds what the exchange saw and decided, and can be **replayed**.

    client -> server -> exchange: codec -> gate -> policy -> placeholders -> server -> model
    client <- server <- exchange: placeholders <- policy <- gate <- codec <- server <- model
                             |                      ^
                          record -> audit log     checks (in threads)

The packages, in the order of their imports: a package imports only from the packages above it, and only the names in
their `__init__`.

    errors, concurrency, signals         exceptions and codes; parts for threads; signals before the start
    findings, plugins, urls              the contract of checks; parts of other packages; reading of URLs
    redaction                            operators, placeholders, stand-ins, shapes
    events, decisions, schemas           decoded wire content; decisions about findings; JSON Schema on growing text
    wire, checks, audit                  formats of APIs; checks; the log of records
    policy                               policy files: rules in, decisions out
    gateway                              tasks for every request besides checking its texts
    exchange                             one request and all answers to it
    config, inference                    settings; running models
    library, replay                      sets of policies; replays of recorded exchanges
    policytest, policydiff, server, lab  tests of policies; comparison of policies; the aiohttp server; calibration of models
    demo, testing, cli                   a demo upstream; conformance suites for plug-ins; the command line

Words. downstream, upstream: the client, the model's API. channel: the place of a text (direction, kind, path). window:
a piece of text for a check. settled: the offset before which no continuation can change the findings. placeholder: the
text that replaces a redacted value.
"""
