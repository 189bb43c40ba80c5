"""Text for benchmarks: random sentences of plain words, a different one for each request.

Different, because a proxy that remembers verdicts on texts would otherwise be measured on its memory. No sentence holds
anything that a check of the shipped policies looks for.
"""

from __future__ import annotations

from random import Random

_LIST = """
able about above across after again against air all almost along also always among and another answer any apple area
around ask autumn away back balance basket beach because become before begin below best better between beyond big bird
black blue board boat body book both bottle bottom bread bridge bright bring brother brown build building busy butter
cabin call candle careful carpet carry castle cat center chair chance change chapter cheese children choose circle
city class clean clear climb clock close cloud coast coffee cold color come common cook corner country course cover
cup curtain daily dance dark daughter day deep desk different dinner direct distance door down draw dream dress drink
dry early earth east easy edge eight else end engine enough evening ever every example eye face fall family far farm
fast father favorite few field fifth fill final find fine finger fire first fish five floor flower fly follow food
foot forest forget form forward four fresh friend from front fruit full garden gentle give glad glass gold good grass
great green ground group grow guest guide half hall hand happy harbor hard harvest head hear heart heavy help high
hill hold home hope horse hot hour house hundred idea inside island join journey jump keep kind kitchen know lake lamp
land language large last late laugh leaf learn leave left lesson letter level library light like line list listen
little long look low lunch make many map market matter meadow meal measure meet middle mile milk mind minute mirror
modern moment month moon more morning most mother mountain mouth move much music name narrow nature near neck need
never new next nice night nine none noon north nothing notice number object ocean offer often oil old once one only
open orange order other out outside over own page paint paper parent park part pass past path peace people piece place
plain plan plant play please pocket point poor possible present press price problem quick quiet rain raise reach read
ready real reason red remember rest return rice rich ride right ring river road rock roof room root round row rule run
safe sail salt same sand say school sea season second seed seven shade shape share sharp ship shoe shop short side
silver simple since sing sister sit six size sky sleep slow small smile snow soft some song soon sound south space
speak spring square stand star start station stay step stone stop store storm story street strong student study summer
sun sure surface sweet table take talk tall teach teacher ten tent thank thick thin thing third thousand three through
ticket time together tomorrow tool top touch toward town train travel tree trip true try turn twelve twenty two under
until upper use usual valley very village visit voice wait walk wall want warm wash watch water wave weather week west
wheel white whole wide wind window winter wise wish wood word work world write year yellow young
"""
WORDS = _LIST.split()


def words(random: Random, count: int) -> list[str]:
    """`count` words; every tenth ends a sentence."""
    chosen = random.choices(WORDS, k=count)
    return [f"{word}." if at % 10 == 9 else word for at, word in enumerate(chosen)]
