"""The English words by which questions are told apart: see `particulars.py`.

Groups are written `group: word word`, and opposites `word/word`. A word that is in no list is compared by a model alone.
"""

from __future__ import annotations

_NUMBERS = """
zero _ two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen
twenty
"""
_NEGATIONS = "not no never none nobody nothing nowhere neither nor without cannot except unless hardly barely"
_EXACT = """
second: second seconds sec secs
minute: minute minutes min mins
hour: hour hours hr hrs hourly
day: day days daily
night: night nights nightly tonight overnight
week: week weeks weekly
month: month months monthly
quarter: quarter quarters quarterly
year: year years yearly annual annually
today: today
tomorrow: tomorrow
yesterday: yesterday
morning: morning mornings
noon: noon midday
evening: evening evenings
midnight: midnight
weekend: weekend weekends
monday: monday mondays
tuesday: tuesday tuesdays
wednesday: wednesday wednesdays
thursday: thursday thursdays
friday: friday fridays
saturday: saturday saturdays
sunday: sunday sundays
spring: spring
summer: summer
autumn: autumn fall
winter: winter
metre: meter meters metre metres m
kilometre: kilometer kilometers kilometre kilometres km
centimetre: centimeter centimeters centimetre centimetres cm
millimetre: millimeter millimeters millimetre millimetres mm
mile: mile miles
yard: yard yards
foot: foot feet ft
inch: inch inches
gram: gram grams g
kilogram: kilogram kilograms kilo kilos kg
pound: pound pounds lb lbs
ounce: ounce ounces oz
ton: ton tons tonne tonnes
litre: liter liters litre litres
millilitre: milliliter milliliters millilitre millilitres ml
gallon: gallon gallons
cup: cup cups
celsius: celsius centigrade
fahrenheit: fahrenheit
kelvin: kelvin
dollar: dollar dollars usd
euro: euro euros eur
cent: cent cents
yen: yen
percent: percent percentage
byte: byte bytes
kilobyte: kilobyte kilobytes kb
megabyte: megabyte megabytes mb
gigabyte: gigabyte gigabytes gb
terabyte: terabyte terabytes tb
watt: watt watts
volt: volt volts
first: first firstly
third: third
fourth: fourth
fifth: fifth
last: last final
next: next following
previous: previous prior
half: half
double: double twice
triple: triple thrice
dozen: dozen dozens
hundred: hundred hundreds
thousand: thousand thousands
million: million millions
billion: billion billions
once: once
both: both
either: either
all: all every each everyone everybody everything entire whole
several: several
most: most mostly
least: least
few: few
only: only solely exclusively
always: always
sometimes: sometimes occasionally
often: often frequently
rarely: rarely seldom
avoid: avoid prevent
instead: instead rather
also: too also additionally
again: again
still: still
already: already
yet: yet
if: if whether
because: because
although: although though despite
or: or
and: and
"""
_KINDS = """
who: who whom whose
when: when
where: where
why: why
"""
_MEASURED = "much many long often far old tall big large fast deep high heavy wide soon late early"
_TENSES = """
past: was were did had
present: is are am do does has have
future: will shall
conditional: would
"""
_DUTIES = """
must: must
need: need needs required mandatory
should: should ought
may: may allowed permitted
can: can able
could: could
would: would
will: will shall
"""
_PERSONS = """
i: i me my mine myself
we: we us our ours ourselves
you: you your yours yourself
he: he him his himself
she: she her hers herself
they: they them their theirs themselves
"""
_OPPOSITES = """
all/some all/any every/some everyone/someone some/many any/many some/any you/they you/he you/she this/that these/those
now/then here/there
before/after above/below over/under up/down in/out on/off into/out inside/outside indoor/outdoor indoors/outdoors from/to
with/without for/against since/until within/after near/far left/right top/bottom front/back north/south east/west early/late
earlier/later earliest/latest more/less more/fewer most/least most/fewest many/few maximum/minimum max/min upper/lower
high/low higher/lower highest/lowest big/small bigger/smaller biggest/smallest large/small larger/smaller largest/smallest
long/short longer/shorter longest/shortest tall/short taller/shorter tallest/shortest old/new old/young older/newer
older/younger oldest/newest oldest/youngest fast/slow faster/slower fastest/slowest quick/slow good/bad better/worse best/worst
cheap/expensive cheaper/dearer cheapest/dearest hot/cold hotter/colder hottest/coldest warm/cold warm/cool warmer/cooler
light/dark lighter/heavier lightest/heaviest light/heavy easy/hard easy/difficult easier/harder easiest/hardest full/empty
strong/weak stronger/weaker rich/poor richer/poorer deep/shallow wide/narrow thick/thin wet/dry hard/soft loud/quiet
increase/decrease increase/reduce increase/lower raise/lower raise/reduce rise/fall grow/shrink gain/lose win/lose
expand/shrink add/remove add/delete add/subtract insert/remove insert/delete create/delete create/destroy create/remove
install/remove start/stop start/end start/finish begin/end begin/finish begin/stop open/close opened/closed enable/disable
activate/deactivate allow/forbid allow/block allow/deny allow/prohibit permit/forbid permit/deny accept/reject accept/decline
accept/refuse approve/reject approve/deny grant/revoke grant/deny buy/sell buying/selling bought/sold lend/borrow send/receive
give/take import/export upload/download push/pull encrypt/decrypt encode/decode compress/extract lock/unlock
connect/disconnect subscribe/unsubscribe attach/detach join/leave enter/leave enter/exit arrive/depart arrive/leave
arrival/departure come/go show/hide remember/forget save/discard save/delete save/spend pass/fail succeed/fail success/failure
love/hate like/dislike like/hate true/false right/wrong alive/dead live/die born/die born/died man/woman men/women boy/girl
boys/girls male/female mother/father mom/dad son/daughter brother/sister husband/wife uncle/aunt king/queen my/your mine/yours
our/your me/you parent/child parents/children teacher/student buyer/seller employer/employee lender/borrower sender/recipient
sender/receiver landlord/tenant doctor/patient customer/seller winner/loser advantage/disadvantage advantages/disadvantages
benefit/risk benefits/risks benefits/drawbacks pros/cons pro/con profit/loss income/expense asset/liability credit/debit
input/output source/target source/destination client/server parent/subsidiary public/private internal/external
domestic/international local/remote local/global manual/automatic paid/free legal/illegal safe/dangerous guilty/innocent
positive/negative active/passive single/married ancient/modern cause/effect cause/prevent cause/cure cause/treat
causes/effects causes/treats help/harm help/hurt support/oppose attack/defend attack/defense friend/enemy war/peace day/night
sunrise/sunset dawn/dusk breakfast/dinner breakfast/lunch lunch/dinner vegetarian/meat raw/cooked frozen/fresh odd/even
plus/minus multiply/divide multiplied/divided sum/difference product/sum mean/median average/total average/maximum
average/minimum gross/net wholesale/retail inner/outer horizontal/vertical rows/columns row/column width/height length/width
depth/height area/perimeter area/volume radius/diameter clockwise/counterclockwise forward/backward forwards/backwards
ascending/descending synchronous/asynchronous temporary/permanent optional/required optional/mandatory included/excluded
include/exclude including/excluding upgrade/downgrade login/logout refund/charge deposit/withdraw deposit/withdrawal hire/fire
hired/fired who/whom cost/save costs/saves price/savings upgrade/update pause/stop restart/reset
"""
_LINKS = "by from than before after until till since without against into between versus vs"
_ARTICLES = "the a an this that these those my your his her its our their"
_GRAMMAR = """
i me we us you he him she they them it what which how there here be been being am and or but at in on off up out about as if so
then not no please tell know explain describe want like let get got any do to for with of
"""
_FILLERS = """
way ways step steps take taking process procedure method possible able go going need want help exactly actually currently really
kind sort thing per onto keep keeps work works happen happens come comes exist exists much many long often far old
"""
_ASKED_FOR = """
reason reasons cause causes place location time date year day number amount count age minimum distance duration length price
cost costs person people name names steps best right easiest
"""
_ORDERS = "tell explain describe show give list name define"
_OTHER_LANGUAGES = """
der die das und ist nicht ein eine wie wo wann warum kann ich mein den dem le la les un une est et je vous mon ma comment quel
quelle pourquoi el los las es una y yo mi como por que donde il lo gli sono e di che come dove per de het een en ik wat hoe
waar os um uma onde jag och hur var jak co jest gdzie czy ve bir nasil
"""


def _groups(text: str) -> dict[str, str]:
    """The group of each word."""
    rows = [line.split(":") for line in text.strip().splitlines()]
    return {word: group for group, words in rows for word in words.split()}


NUMBERS = {word: str(number) for number, word in enumerate(_NUMBERS.split())}
NEGATIONS = frozenset(_NEGATIONS.split())
EXACT = _groups(_EXACT)
"""Words whose group must be in both texts, or in neither."""
KINDS = _groups(_KINDS)
MEASURED = frozenset(_MEASURED.split())
"""Words after `how` that make a question of another kind."""
TENSES = _groups(_TENSES)
DUTIES = _groups(_DUTIES)
PERSONS = _groups(_PERSONS)
OPPOSITES: tuple[tuple[str, str], ...] = tuple(
    (first, second) for first, _, second in (pair.partition("/") for pair in _OPPOSITES.split())
)
NEGATING = ("un", "in", "im", "ir", "il", "non", "dis", "mis", "de", "non-", "anti", "re")
INDIRECT = frozenset(
    (verb, link) for verb in ("know", "me", "wonder", "wondering", "check", "see", "ask") for link in ("if", "whether")
)
"""Pairs of words that introduce an indirect question."""
LINKS = frozenset(_LINKS.split())
"""Words that tell the roles of what follows them apart."""
ARTICLES = frozenset(_ARTICLES.split())
GRAMMAR = ARTICLES | LINKS | frozenset(_GRAMMAR.split()) | KINDS.keys() | TENSES.keys() | DUTIES.keys()
"""Words that carry grammar. The others carry meaning."""
FILLERS = frozenset(_FILLERS.split())
"""Words that say little in a question, as in `what steps do I take`."""
ASKED_FOR = frozenset(_ASKED_FOR.split())
"""Words that a question word may stand for, as `why` for `what is the reason`."""
PLACING = frozenset(("for", "in", "of", "on", "at", "about", "with"))
"""Words after which something neither acts nor is acted on."""
ORDERS = frozenset(_ORDERS.split())
"""Words that begin an order to tell something."""
OF_GROUPS = GRAMMAR | EXACT.keys() | PERSONS.keys() | NEGATIONS | NUMBERS.keys()
"""Words that are compared by their groups, if at all."""
OTHER_LANGUAGES = frozenset(_OTHER_LANGUAGES.split())
"""Frequent words of other languages."""
