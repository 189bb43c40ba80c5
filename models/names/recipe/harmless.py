"""Texts in which nothing is a name: logs, goods, settings, traces, tables, headings, programs and their products; and names in
the same surroundings. The templates lie in harmless.txt.

In: a mark of a template and a seeded random generator. Out: a label and a value. compose.py fills the templates. A time is
`IGNORED`: it counts neither as a name nor as none, as sets do not agree on it. Names of people stand here for programs,
goods and hosts as well: only what stands around a word can tell.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

from models.names.recipe.noise import UNKNOWN

_SECTION = re.compile(r"\[([a-z]+) ([\d.]+)\]")


def groups() -> list[tuple[list[str], float]]:
    """Returns the groups of templates, each with the share of texts that it gets."""
    found: list[tuple[list[str], float]] = []
    for line in Path(__file__).with_suffix(".txt").read_text("utf-8").split("\n"):
        if section := _SECTION.fullmatch(line):
            found.append(([], float(section[2])))
        elif line:
            found[-1][0].append(line)
    return found


GROUPS = groups()
MARKS = "DHIuvabWPBNmrRyOF"

WORDS = (
    "annual bonus business capital cashback checking clarity concierge credit daily debit deposit dispute domestic eco "
    "elite eligibility enterprise family fee fraud guest hybrid interest international loan lounge loyalty member mobile "
    "monthly mortgage online overdraft payment payroll perks personal premium purchase records referral refund "
    "reimbursement reserve reward saver savings standard statement student tier transfer travel treasury vendor waiver "
    "wire world yearly provide keep getting started accept access account action active adapter add address admin age "
    "alarm alert alias allow amount analyze anchor answer append apply archive area argument array assign attach attempt "
    "attribute audio author average await backend backup balance band bank bar base batch battery begin bench binary bind "
    "bit blank block board body book boot border bottom bound box branch breadth break bridge broker browser buffer build "
    "bulk bundle button byte cache call camera cancel capture card carry case cast catalog cell center chain change "
    "channel chapter char charge chart check child choice chunk city clamp class clean clear client clip clock clone close "
    "cloud cluster code collect color column comment commit common compile complete compute condition confirm connect "
    "constant contact container content context control convert cookie copy core corner count country cover crash create "
    "credit crop cross current cursor custom cycle daemon dark data date deal debug decode default delay delete delta demo "
    "deny deploy depth derive desk detail device dial digest dim direct disk dispatch display docker document domain done "
    "dot down draft drain draw drive drop dry dump echo edge edit effect element empty enable encode end engine enter "
    "entry enum epoch equal error escape event exact example exit expand expire export extra face factor fail fast fault "
    "favor feature fetch field file fill filter find finish fire first fit fix flag flame flash flat flip float floor flow "
    "flush focus fold font force fork form format forward found frame free frequency front full gain gap gate gateway "
    "general get glance global grade graph green grid group guard guide hand handle hash head heap height help hidden high "
    "hint hold home hook host hour hub icon idle image import index info init inner input insert install invoice item "
    "iterate job join journal jump keep kernel key kill kind label lamp land lane language large last layer lead leaf "
    "lease left legacy length level library light limit line link list listen live load local lock log long loop low "
    "machine mail main make manage manual map margin mark market mask master match max mean measure media member memory "
    "menu merge message meter method metric middle migrate min minor mirror miss mock mode model modern modify module "
    "monitor month mount move name native near nest net network next node noise normal note notice null number object "
    "offset open operator option orange order origin outer output owner pack page pair panel paper parent park parse part "
    "pass paste patch path pattern pause pay peak peer pending percent phase phone pick pin ping pipe pipeline pitch pixel "
    "place plain plan plant play plug point poll pool port post power prefix press preview price prime print prior probe "
    "process product profile project prompt proof property proxy public pull pulse pump purge push quality query queue "
    "quick quota random range rank rate ratio raw read ready reason receive record recover red reduce refresh region "
    "register reject relay release reload remote remove rename render repair repeat replace reply report request reset "
    "resize resolve resource rest retry return review right ring role roll root rotate round route row rule run safe "
    "sample save scale scan scene schedule schema scope score screen script scroll seal search second section secure seed "
    "select send sensor server service session set shape share shard sheet shell shift ship short show shut side sign "
    "signal silver simple single site size skip slice slot small snap socket soft sort sound source space span spark "
    "special speed split spot spread square stable stack stage stamp star start state station status step stock stop "
    "storage store stream street string strip strong style submit subset success suffix sum support suspend swap switch "
    "symbol sync system table tag tail take target task team template tenant term test text theme thread threshold ticket "
    "tide tile time timeout tip title toggle token tool top total touch tower trace track trade traffic train transfer "
    "tree trigger trim true trunk trust tune turn type undo union unique unit unlock update upload upper usage user "
    "utility valid value vector vendor verify version video view virtual visit visual voice volume wait wake walk wall "
    "watch water wave way web week weight wheel wide width will window wire word work worker world wrap write yellow yield "
    "zero zone zoom"
).split()
NAMELIKE = (
    "will mark rose grant frank chase hunter mason cooper carter baker dean jack bill ray art sandy robin max drew hope "
    "faith grace april may june august dale glen heath cliff brook lane dawn eve iris ivy jade ruby pearl amber olive "
    "basil sage miles victor norm pat rob sue skip chip buck rich earnest bishop pope king prince duke earl knight abbot "
    "marshal walker miller potter fisher hammer jordan paris london york troy houston austin dallas jackson madison "
    "lincoln orlando florence sydney victoria georgia virginia carolina dakota israel china turkey jersey mobile reading "
    "bath nice cork hull essen split"
).split()
ACRONYMS = (
    "API SDK CLI GUI URL URI UUID JSON YAML XML CSV TSV HTML CSS SQL ORM CRUD REST RPC SSE TLS SSL SSH SSO SAML OIDC JWT "
    "MFA OTP ACL RBAC ABAC CSRF CORS XSS DNS DHCP TCP UDP HTTP FTP SMTP IMAP VPN LAN WAN NAT BGP OSPF VLAN MTU QPS RPS SLA "
    "SLO CDN LLM GPT RAG NLP OCR TTS ASR GPU CPU TPU NPU RAM ROM SSD HDD NVME USB HDMI PCI BIOS UEFI RAID LVM NFS SMB OOM "
    "GC JVM JIT AOT AST DSL IDE REPL PR MR CI CD QA UAT MVP KPI OKR ROI ETL ELT OLAP OLTP DAG CDC WAL MVCC LRU TTL FIFO "
    "LIFO EOF EOL BOM UTF ASCII ISO IETF RFC W3C POSIX GNU PDF PNG JPEG GIF SVG MP3 MP4 AVI HEVC DRM EXIF RGB CMYK LED LCD "
    "OLED HDR FPS SIM LTE GSM NFC GPS AM PM ETA ASAP FAQ FYI TBD TODO FIXME NOTE WARNING ERROR INFO DEBUG FATAL CRITICAL "
    "NULL NONE TRUE FALSE YES NO SELECT FROM WHERE GROUP ORDER BY JOIN INSERT UPDATE DELETE DROP TABLE INDEX VIEW GRANT "
    "HRESULT VAT IBAN BIC SWIFT APR ATM PIN CEO CFO CTO HR PTO PDA BMI ECG MRI DNA RNA PCR LDL HDL ABS SUV EV HVAC DIY B2B "
    "B2C SKU UPC EAN ISBN MSRP OEM POS CRM ERP SCM MCP LoRA FP16 INT8 BF16 AWQ GPTQ MoE KV TGI vLLM ONNX CUDA"
).split()
PLACES = (
    "harbour;harbor;station;market;bridge;lighthouse;castle;church;chapel;cathedral;mosque;temple;monastery;museum;gallery;"
    "library;theatre;cinema;stadium;arena;gym;pool;park;garden;forest;lake;river;canal;beach;cliff;island;valley;mountain;"
    "hill;cave;desert;swamp;meadow;village;town;city;suburb;district;square;street;alley;avenue;road;crossing;tunnel;"
    "airport;port;pier;dock;shipyard;warehouse;factory;mill;farm;barn;stable;vineyard;orchard;bakery;butcher's;grocery;"
    "supermarket;mall;shop;pharmacy;hospital;clinic;school;kindergarten;college;university;campus;dormitory;office;tower;"
    "skyscraper;courthouse;prison;police station;fire station;post office;bank;embassy;town hall;hotel;hostel;inn;tavern;"
    "pub;bar;cafe;restaurant;kitchen;cellar;attic;balcony;hall;corridor;staircase;lobby;garage;parking lot;bus stop;"
    "tram stop;petrol station;playground;zoo;aquarium;circus;fairground;cemetery;graveyard;ruin;fortress;palace;villa;"
    "cottage;cabin;tent;camp;quarry;mine;dam;power plant;bay;gulf;coast;shore;reef;lagoon;fjord;glacier;plain;prairie;"
    "jungle;oasis;volcano;north;south;centre;border;frontier;kingdom;empire;province;railway station;fish market;"
    "flea market;night market;old town;city centre;main square;ferry terminal;marina;wharf;quay;boathouse;waterfall;spring;"
    "well"
).split(";")
ROLES = (
    "baker butcher captain carpenter cleaner clerk cook dentist doctor driver electrician farmer firefighter fisherman "
    "florist gardener guard guest guide hairdresser hunter janitor judge keeper king knight lawyer librarian mayor "
    "mechanic merchant miner monk mother father neighbour nurse officer painter pilot plumber poet porter priest prince "
    "princess queen sailor shepherd singer smith soldier student tailor teacher thief tourist trader tutor vet visitor "
    "waiter warden watchman witch wizard"
).split()
FOODS = (
    "apple apricot bacon banana basil beans beef beer bread butter cabbage cake carrot cheese cherry chicken chili "
    "chocolate cinnamon coffee corn cream cucumber curry egg fig fish flour garlic ginger grape ham honey jam juice "
    "ketchup kiwi lamb leek lemon lentils lime mango maple syrup milk mint mushroom mustard nutmeg oats oil olive onion "
    "orange oregano paprika parsley pasta peach pear peas pepper plum pork potato pumpkin quinoa rice rosemary saffron "
    "sage salmon salt sausage shrimp soy sauce spinach squash sugar tea thyme tofu tomato tuna turkey vanilla vinegar "
    "walnut water wine yeast yogurt brie cheddar gouda parmesan feta caesar cobb wellington"
).split()
OPTIONS = (
    "color size material style fit brand capacity pattern finish weight length width storage connectivity battery_life "
    "screen_size processor RAM power_source compatibility skin_type scent voltage room_size features fuel_type "
    "frame_material resistance_type wattage shade season sleeve neckline pocket closure lining thickness"
).split()
CHOICES = (
    "black;white;red;blue;navy;grey;green;purple;pink;gold;silver;XS;S;M;L;XL;XXL;one size;cotton;polyester;wool;leather;"
    "canvas;denim;stainless steel;glass;plastic;carbon fiber;wood;bamboo;ceramic;slim;regular;relaxed;crew neck;v-neck;"
    "zipper;laces;matte;glossy;small;medium;large;8GB;16GB;256GB SSD;512GB;1TB;Bluetooth;USB-C;Wi-Fi;wired;wireless;"
    "AC adapter;battery;solar;iOS;Android;dry;oily;sensitive;normal;unscented;lavender;vanilla;rose;jasmine;citrus;women;"
    "men;kids;indoor;outdoor;mesh;memory foam;fleece;polka dot;floral;striped;camo;mahogany;walnut;oak;maple;cherry;5-inch;"
    "27-inch;4K;1080p;12 hours;20 liters;hardshell;softshell;foldable;waterproof;water resistant;IPX7;Li-ion;AA batteries;"
    "LED;halogen;up to 40 hours;touchscreen;voice control;noise-canceling"
).split(";")
_FRONTS = (
    "za vo qui lu mer tri nex or ply syn ka bre flo dra hel ix ta mo ve ro gi zen pix cal ar do li ray bo pe ku al ne si "
    "ju"
).split()
_BACKS = (
    "lla ra nix ly fy io tor dex zo via bit ma go kit lo hub ta do on ia ex us er is a ado ino vo rix mind base flow lab"
).split()
_HOSTS = (
    "web db node worker edge gw mail proxy build ip core switch fw ap app cache ns mx host srv prod stage lab"
).split()
_USERS = (
    "root admin webmaster test guest oracle ubuntu postgres git deploy ftp www-data nobody backup support pi jenkins "
    "ansible daemon mysql user info operator service nagios hadoop ec2-user"
).split()
_MONTHS, _DAYS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(), "Mon Tue Wed Thu Fri Sat Sun".split()


def program(rng: random.Random, people: list[tuple[str, str]], tools: list[str]) -> str:
    """Returns the name of a product: a known one, an invented word, or the name of a person."""
    draw = rng.random()
    if draw < 0.35:
        return rng.choice(tools)
    if draw < 0.75:
        made = (rng.choice(_FRONTS) + rng.choice(("", rng.choice(_FRONTS))) + rng.choice(_BACKS)).capitalize()
        return rng.choice((made, made, made, made.lower(), made + rng.choice(("AI", "DB", "JS", "Hub"))))
    name = rng.choice(people)[rng.random() < 0.4]
    return rng.choice((name, name, name.lower()))


def word(rng: random.Random) -> str:
    """Returns a common word; one in twelve is also a name."""
    return rng.choice(NAMELIKE if rng.random() < 0.08 else WORDS)


def clock(rng: random.Random) -> str:
    """Returns a time in one of the ways of logs."""
    year, month, day = rng.randrange(2003, 2027), rng.randrange(1, 13), rng.randrange(1, 29)
    hour = f"{rng.randrange(24):02}:{rng.randrange(60):02}:{rng.randrange(60):02}"
    name, short = _MONTHS[month - 1], f"{year % 100:02}"
    return rng.choice(
        (
            f"{name} {day:2} {hour}",
            f"{year}-{month:02}-{day:02}T{hour}Z",
            f"{year}-{month:02}-{day:02} {hour},{rng.randrange(1000):03}",
            f"{short}/{month:02}/{day:02} {hour}",
            f"{month:02}-{day:02} {hour}.{rng.randrange(1000):03}",
            f"{day:02}/{name}/{year}:{hour} +0000",
            f"{rng.choice(_DAYS)} {name} {day:02} {hour} {year}",
            f"{short}{month:02}{day:02} {hour.replace(':', '')}",
            f"{year}.{month:02}.{day:02}",
            hour,
        )
    )


def value(kind: str, rng: random.Random, people: list[tuple[str, str]], tools: list[str]) -> tuple[str, str]:
    """Returns the label and a value for a mark of these templates."""
    match kind:
        case "D":
            return UNKNOWN, clock(rng)
        case "H":
            return "", rng.choice(_HOSTS) + rng.choice(("", str(rng.randrange(40)), f"-{rng.randrange(300)}"))
        case "I":
            return "", ".".join(str(rng.randrange(256)) for _ in range(4))
        case "u":
            return "", rng.choice(_USERS) if rng.random() < 0.8 else word(rng)
        case "v":
            return "", f"{rng.randrange(12)}.{rng.randrange(30)}.{rng.randrange(10)}" + rng.choice(
                ("", "", "rc1", "-beta.2")
            )
        case "a":
            return "", rng.choice(ACRONYMS)
        case "b":
            return "", word(rng)
        case "W":
            return "", word(rng).capitalize()
        case "P":
            return "", program(rng, people, tools)
        case "B":
            return "", program(rng, people, tools).capitalize()
        case "N":
            place = rng.choice(PLACES)
            return "", rng.choice(("a ", "the ", "an old ", "some ", "a small ", "this ")) + place
        case "m":
            return "", rng.choice(PLACES)
        case "r":
            return "", rng.choice(ROLES)
        case "R":
            return "", "The " + rng.choice(ROLES)
        case "y":
            return "", rng.choice(CHOICES)
        case "O":
            return "", rng.choice(OPTIONS)
        case _:
            return "", rng.choice(FOODS)
