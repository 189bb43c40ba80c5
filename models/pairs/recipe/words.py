"""Words that the makers of pairs exchange: those that mean the same, the contrary, or something wider.

All lists are written for pairs in English. A pair of `SAME` may take each other's place in nearly every sentence; a pair of
`CONTRARY` cannot both be true of one thing at one time; the second of a pair of `WIDER` holds whenever the first does.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache


def _pairs(text: str) -> list[tuple[str, str]]:
    found = []
    for part in text.split(";"):
        left, _, right = part.strip().partition(" = ")
        if right:
            found.append((left.strip(), right.strip()))
    return found


SAME = _pairs(
    """buys = purchases; bought = purchased; buy = purchase; begins = starts; began = started; begin = start; ends = finishes;
    ended = finished; must = has to; must not = is not allowed to; may = is allowed to;  about = roughly;
    about = approximately; nearly = almost; every = each; often = frequently; seldom = rarely; quickly = fast;
    quick = fast;
    big = large; small = little; child = kid; children = kids; man = guy; car = automobile; movie = film;
    doctor = physician;
    shop = store; job = position; answer = reply; answered = replied; help = assist; helps = assists; helped = assisted;
    get = receive; gets = receives; got = received; send = ship; sends = ships; sent = shipped; keep = retain;
    keeps = retains;
    kept = retained; ask for = request; asked for = requested; give back = return; gave back = returned; allow = permit;
    allows = permits; allowed = permitted; forbidden = prohibited; free = at no charge; free of charge = at no cost;
    cheap = inexpensive; expensive = costly; near = close to; next to = beside; under = beneath; over = above;
    after that = afterwards; because = since; although = though; however = still;  only = just;
    in total = altogether; per year = a year; per month = a month; each year = every year; each day = daily;
    each week = weekly;
    every month = monthly; staff = employees; employees = workers; customers = clients; company = firm; boss = manager;
    chief executive = CEO; wife = spouse; mother = mom; father = dad; home = house; holiday = vacation;
    flat = apartment;
    lift = elevator; autumn = fall; rubbish = garbage; ill = sick; happy = glad; clever = smart;
    difficult = hard; simple = easy; correct = right; wrong = incorrect; whole = entire; main = principal;
    area = region;
    end = finish; choose = pick; chose = picked; chosen = picked; repair = fix; repaired = fixed; repairs = fixes;
    check = verify;
    checks = verifies; checked = verified; show = display; shows = displays; make = produce; makes = produces;
    made = produced;
    build = construct; built = constructed; builds = constructs; stop = halt;
    stops = halts; leave = depart; leaves = departs;  arrive = get in; raise = increase;
    raised = increased; lower = reduce; lowered = reduced; needs = requires; needed = required;
    tell = inform; told = informed; say = state; said = stated; says = states; think = believe; thinks = believes;
    thought = believed; likes = enjoys; liked = enjoyed; look at = watch; looks at = watches; talk = speak;
    talks = speaks; talking = speaking; walk = go on foot; jumping = leaping; throw = toss; throwing = tossing;
    cutting = slicing; eating = having; running = jogging; photo = picture; sofa = couch; road = street;
    forest = wood; rock = stone; beach = shore; bike = bicycle; lady = woman; puppy = young dog;
    kitten = young cat; at once = immediately; at the moment = currently; soon = shortly; later = afterwards;
    twice = two times; once = one time; a dozen = twelve; half an hour = thirty minutes; two weeks = a fortnight;
    one year = twelve months; two years = 24 months; three years = 36 months; one day = 24 hours; two days = 48 hours;
    three days = 72 hours; one week = seven days; an hour = 60 minutes; a quarter = 25 percent; half of = 50 percent of;
    isn't = is not; aren't = are not; wasn't = was not; weren't = were not; don't = do not; doesn't = does not;
    didn't = did not;
    can't = cannot; won't = will not; couldn't = could not; shouldn't = should not; hasn't = has not;
    haven't = have not;
    contract = agreement; price = cost; fee = charge; meeting = appointment; error = fault; problem = issue; goal = aim;
    plan = scheme; law = statute; result = outcome; way = manner; sign = indication; reason = cause;
    guess = estimate; proof = evidence; trip = journey; cash = money;
    due to = because of; a lot of = many; a number of = several; in spite of = despite; in addition = besides"""
)

CONTRARY = _pairs(
    """open = closed; opens = closes; opened = closed; before = after; above = below; over = under; inside = outside;
    in front of = behind;
    first = last; always = never; more = less; more than = fewer than; at least = less than; most = few;
    all = none of the;
    everyone = no one; everybody = nobody; everything = nothing; both = neither; with = without; includes = excludes;
    included = excluded; including = excluding; allowed = forbidden; permitted = prohibited; required = optional;
    mandatory = voluntary; accepts = refuses; accepted = refused; approved = rejected; passes = fails; passed = failed;
    wins = loses; won = lost; buys = sells; bought = sold; lends = borrows; lent = borrowed;
    teaches = learns from; gives = takes;
    gave = took; sends = receives; sent = received; arrives = leaves; arrived = left; comes = goes; rises = falls;
    rose = fell;
    raised = lowered; raises = lowers; increased = decreased; increases = decreases; grew = shrank;
    grows = shrinks; gains = losses;
    early = late; earlier = later; earliest = latest; young = old; younger = older; youngest = oldest; new = old;
    newest = oldest;
    big = small; bigger = smaller; biggest = smallest; large = small; larger = smaller; largest = smallest;
    long = short;
    longer = shorter; longest = shortest; tall = short; taller = shorter; high = low; higher = lower;
    highest = lowest; hot = cold;
    hotter = colder; warm = cool; wet = dry; full = empty; heavy = light; heavier = lighter; hard = soft; fast = slow;
    faster = slower; fastest = slowest; strong = weak; stronger = weaker; rich = poor; richer = poorer;
    cheap = expensive;
    cheaper = dearer; cheapest = most expensive; good = bad; better = worse; best = worst; right = wrong;
    true = false; safe = dangerous;
    clean = dirty; dark = light; bright = dark; loud = quiet; noisy = quiet; happy = sad; alive = dead;
    awake = asleep; asleep = awake;
    married = single; guilty = innocent; public = private; free = paid; legal = illegal; possible = impossible;
    visible = invisible;
    known = unknown; successful = unsuccessful; usual = unusual; likely = unlikely; reversible = irreversible;
    available = unavailable;
    compatible = incompatible; complete = incomplete; valid = invalid; able = unable; agree = disagree;
    agreed = disagreed;
    appeared = disappeared; connected = disconnected; enabled = disabled; started = stopped; starts = stops;
    begins = ends;
    began = ended; starts = finishes; remembered = forgot; remembers = forgets; found = lost; finds = loses;
    loves = hates;
    loved = hated; likes = dislikes; liked = disliked; north = south; northern = southern; east = west;
    eastern = western;
    left = right; upstairs = downstairs; day = night; morning = evening; summer = winter; spring = autumn; man = woman;
    boy = girl; father = mother; brother = sister; husband = wife; son = daughter; king = queen; sitting = standing;
    sits = stands; sleeping = running; walking = lying down; laughing = crying; smiling = frowning; entering = leaving;
    pushing = pulling; climbing = descending; up = down; on = off; black = white; red = green; blue = yellow;
    import = export;
    imports = exports; imported = exported; supports = opposes; supported = opposed; praised = criticised;
    hired = dismissed;
    won = drew; employer = employee; teacher = pupil; buyer = seller; landlord = tenant; winner = loser;
    victory = defeat;
    success = failure; profit = loss; war = peace; birth = death; born = died; entrance = exit; daily = yearly;
    weekly = yearly;
    indoors = outdoors; raw = cooked; maximum = minimum; majority = minority; guest = host; native = foreign; senior = junior"""
)

WIDER = _pairs(
    """dog = animal; cat = animal; horse = animal; cow = animal; sheep = animal; lion = animal; puppy = dog; kitten = cat;
    poodle = dog;
    sparrow = bird; eagle = bird; parrot = bird; duck = bird; trout = fish; salmon = fish; man = person;
    woman = person; boy = child;
    girl = child; baby = child; boy = person; girl = person; nurse = person; guitar = instrument; piano = instrument;
    violin = instrument; flute = instrument; drum = instrument; rose = flower; tulip = flower; oak = tree;
    pine = tree; apple = fruit;
    banana = fruit; orange = fruit; carrot = vegetable; onion = vegetable; potato = vegetable;
    cucumber = vegetable; bread = food;
    cheese = food; pizza = food; soup = food; coffee = drink; tea = drink; milk = drink; car = vehicle;
    bus = vehicle; truck = vehicle;
    motorcycle = vehicle; lorry = vehicle; jacket = clothing; shirt = clothing; sofa = piece of furniture;
    chair = piece of furniture;
    table = piece of furniture; hammer = tool; saw = tool; screwdriver = tool; football = sport; tennis = sport;
    hockey = sport;
    sprinting = running; running = moving; walking = moving; whispering = talking; shouting = making noise;
    laptop = computer;
    tablet = device; phone = device; printer = device; novel = book; dictionary = book; surgeon = doctor;
    dentist = doctor;
    bakery = shop; pharmacy = shop; supermarket = shop; village = place; city = place; river = water;
    lake = water; castle = building;
    church = building; school = building; hospital = building; euro = currency; gold = metal; iron = metal;
    copper = metal;
    credit card = means of payment; invoice = document; contract = document; passport = document; email = message;
    letter = message;
    Monday = weekday; Tuesday = weekday; Wednesday = weekday; Saturday = weekend day; January = winter month;
    July = summer month;
    engineer = employee; accountant = employee; professor = teacher; colonel = officer; poem = text;
    report = text; waltz = dance;
    tango = dance; beagle = dog; salad = dish; lemonade = drink; ferry = boat; canoe = boat; yacht = boat;
    jet = aircraft;
    helicopter = aircraft; scarlet = red; crimson = red; navy = blue; huge = big; enormous = big; tiny = small;
    freezing = cold;
    boiling = hot; delighted = happy; furious = angry; exhausted = tired; starving = hungry"""
)
_SPELT = "zero one two three four five six seven eight nine ten eleven twelve".split()
_NUMBER = re.compile(r"(?<![\w.,])(\d{1,2})(?![\w%.,:]|\.\d)")


@cache
def _searched(pairs: tuple[tuple[str, str], ...], both_ways: bool) -> tuple[re.Pattern[str], dict[str, list[str]]]:
    """A pattern for the words of a list, and what may take the place of each."""
    instead: dict[str, list[str]] = {}
    for pair in pairs:
        for old, new in (pair, pair[::-1]) if both_ways else (pair,):
            instead.setdefault(old, []).append(new)
    words = "|".join(re.escape(word) for word in sorted(instead, key=len, reverse=True))
    return re.compile(rf"(?<![\w-])(?:{words})(?![\w-])"), instead


def exchanged(
    text: str, pairs: Sequence[tuple[str, str]], rng: random.Random, *, both_ways: bool = False
) -> str | None:
    """Returns the text with one word exchanged by a pair of the list; `None` if it has no such word."""
    pattern, instead = _searched(tuple(pairs), both_ways)
    if not (found := list(pattern.finditer(text))):
        return None
    match = rng.choice(found)
    return text[: match.start()] + rng.choice(instead[match[0]]) + text[match.end() :]


def reworded(text: str, rng: random.Random, times: int = 3) -> str:
    """Returns the text with up to `times` words exchanged by others that mean the same."""
    for _ in range(rng.randint(0, times)):
        text = exchanged(text, SAME, rng, both_ways=True) or text
    return spelt(text, rng) if rng.random() < 0.3 else text


def spelt(text: str, rng: random.Random) -> str:
    """Writes small numbers as words."""
    return _NUMBER.sub(lambda found: _SPELT[int(found[1])] if int(found[1]) <= 12 else found[1], text)
