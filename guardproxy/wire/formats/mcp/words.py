"""The words of MCP, revisions 2024-11-05 to 2026-07-28: methods, names of fields and values that are not text."""

from __future__ import annotations

from guardproxy.wire.json.vocabulary import SHARED, Vocabulary

CALL = "tools/call"
LISTS = {
    "tools/list": "tools",
    "prompts/list": "prompts",
    "resources/list": "resources",
    "resources/templates/list": "resourceTemplates",
}
"""The methods that ask for a list, and the field of the result that holds it."""
NAMED_BY = {CALL: "name", "prompts/get": "name", "resources/read": "uri"}
"""The methods whose request names one thing of the server, and the field of `params` that names it."""
VERSION_KEY = "io.modelcontextprotocol/protocolVersion"
CLIENT_KEY = "io.modelcontextprotocol/clientInfo"
SERVER_KEY = "io.modelcontextprotocol/serverInfo"
CAPABILITIES_KEY = "io.modelcontextprotocol/clientCapabilities"
_META_KEYS = (
    *(VERSION_KEY, CLIENT_KEY, SERVER_KEY, CAPABILITIES_KEY, "io.modelcontextprotocol/logLevel"),
    *("io.modelcontextprotocol/subscriptionId", "io.modelcontextprotocol/related-task"),
)
_METHODS = f"""
{CALL} {" ".join(LISTS)} initialize ping server/discover prompts/get resources/read resources/subscribe resources/unsubscribe
subscriptions/listen completion/complete logging/setLevel sampling/createMessage elicitation/create roots/list
tasks/get tasks/result tasks/list tasks/cancel tasks/update
notifications/initialized notifications/cancelled notifications/progress notifications/message
notifications/roots/list_changed notifications/tools/list_changed notifications/prompts/list_changed
notifications/resources/list_changed notifications/resources/updated notifications/subscriptions/acknowledged
notifications/tasks/status notifications/elicitation/complete
"""
METHODS = frozenset(_METHODS.split())
_VALUES = """
2.0 2024-11-05 2025-03-26 2025-06-18 2025-11-25 2026-07-28
complete input_required working completed failed cancelled forbidden optional public private form accept decline cancel
debug info notice warning critical alert emergency resource resource_link ref/resource ref/prompt endTurn stopSequence
maxTokens toolUse thisServer allServers light dark
"""
_KEYS = """
jsonrpc method params result _meta progressToken tools inputSchema outputSchema structuredContent isError mimeType blob uri
resource capabilities listChanged subscribe experimental extensions elicitation sampling roots logging prompts resources
completions tasks requests list cancel context url form toolsListChanged promptsListChanged resourcesListChanged
requestedSchema enumNames audience priority lastModified taskSupport readOnlyHint destructiveHint idempotentHint
openWorldHint x-mcp-header
"""
WORDS = Vocabulary(
    SHARED.keys | frozenset(_KEYS.split()) | frozenset(_META_KEYS),
    SHARED.values | METHODS | frozenset(_VALUES.split()),
)
