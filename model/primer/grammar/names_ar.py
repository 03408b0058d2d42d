"""Arabic names: gender, duals, the plural behind three, and the definite form.

Modern Standard Arabic without vowel signs. Sentences are built so that only nouns,
sizes, colours and verbs agree; each noun's own forms are in one table.
"""

from __future__ import annotations

import random
import re

from heliograph.model.primer.grammar.names import Names
from heliograph.model.primer.scenes import Size
from heliograph.model.primer.vocabulary import load

# Plural used behind "three". A leading "f:" or "m:" tells the gender of a counting word
# ("حبات", grains) where the noun itself isn't counted; its dual is then given behind "/".
_FORMS = {
    "كلب": "كلاب",
    "قطة": "قطط",
    "أرنب": "أرانب",
    "ثعلب": "ثعالب",
    "ضفدع": "ضفادع",
    "دجاجة": "دجاجات",
    "بطريق": "بطاريق",
    "طائر": "طيور",
    "حصان": "أحصنة",
    "نحلة": "نحلات",
    "فراشة": "فراشات",
    "سلحفاة": "سلاحف",
    "سمكة": "سمكات",
    "فيل": "أفيال",
    "بقرة": "بقرات",
    "خنزير": "خنازير",
    "خروف": "خراف",
    "صرصور": "صراصير",
    "شجرة": "أشجار",
    "وردة": "ورود",
    "عباد الشمس": "f:زهرات عباد الشمس/زهرتا عباد الشمس",
    "فطر": "f:حبات فطر/حبتا فطر",
    "قمح": "f:سنابل قمح/سنبلتا قمح",
    "تفاحة": "تفاحات",
    "موزة": "موزات",
    "عنقود عنب": "m:عناقيد عنب/عنقودا عنب",
    "فراولة": "f:حبات فراولة/حبتا فراولة",
    "جزرة": "جزرات",
    "ذرة": "m:أكواز ذرة/كوزا ذرة",
    "طماطم": "f:حبات طماطم/حبتا طماطم",
    "خبز": "m:أرغفة خبز/رغيفا خبز",
    "بيتزا": "m:أقراص بيتزا/قرصا بيتزا",
    "كعكة": "كعكات",
    "كرة": "كرات",
    "غيتار": "غيتارات",
    "بيانو": "f:آلات بيانو/آلتا بيانو",
    "طبل": "طبول",
    "جرس": "أجراس",
    "منبه": "منبهات",
    "ساعة": "ساعات",
    "هاتف": "هواتف",
    "سيارة": "سيارات",
    "حافلة": "حافلات",
    "دراجة": "دراجات",
    "قطار": "قطارات",
    "سيارة إسعاف": "f:سيارات إسعاف/سيارتا إسعاف",
    "جرار": "جرارات",
    "صاروخ": "صواريخ",
    "قارب": "قوارب",
    "بيت": "بيوت",
    "مستشفى": "m:مستشفيات/مستشفيان",
    "مدرسة": "مدارس",
    "مصنع": "مصانع",
    "كتاب": "كتب",
    "ظرف": "ظروف",
    "مفتاح": "مفاتيح",
    "مصباح": "مصابيح",
    "مظلة": "مظلات",
    "نجمة": "نجمات",
    "قمر": "أقمار",
    "شمس": "شموس",
    "سحابة": "سحابات",
    "سحابة ممطرة": "f:سحابات ممطرة/سحابتان ممطرتان",
    "برق": "بروق",
    "موجة": "موجات",
    "نار": "نيران",
    "قلب": "قلوب",
    "تصفيق": "f:تصفيقات/تصفيقتان",
    "وجه سعيد": "m:وجوه سعيدة/وجهان سعيدان",
    "وجه حزين": "m:وجوه حزينة/وجهان حزينان",
    "دائرة حمراء": "f:دوائر حمراء/دائرتان حمراوان",
    "مربع أزرق": "m:مربعات زرقاء/مربعان أزرقان",
}
_DEFINITE = {
    "عباد الشمس": "عباد الشمس",
    "عنقود عنب": "عنقود العنب",
    "سيارة إسعاف": "سيارة الإسعاف",
    "سحابة ممطرة": "السحابة الممطرة",
    "وجه سعيد": "الوجه السعيد",
    "وجه حزين": "الوجه الحزين",
    "دائرة حمراء": "الدائرة الحمراء",
    "مربع أزرق": "المربع الأزرق",
}
# masculine, feminine
_NUMBERS = {
    0: ("لا شيء", "لا شيء"),
    1: ("واحد", "واحدة"),
    2: ("اثنان", "اثنتان"),
    3: ("ثلاثة", "ثلاث"),
}
_PREFIX = re.compile(r"(^|\s)([وب])ـ? (?=\S)")
ACCUSATIVE = 0.3
"""Chance of the accusative's alif where a noun shows it."""
_WITHOUT_ALIF = "ةاىءو"
_FEMININE = {"شمس", "نار", "بيتزا"}
_COLOURS = {
    "white": "بيضاء",
    "black": "سوداء",
    "blue": "زرقاء",
    "green": "خضراء",
    "yellow": "صفراء",
    "pink": "وردية",
}


def _dual(noun: str) -> str:
    return (noun[:-1] + "ت" if noun.endswith("ة") else noun) + "ان"


def _oblique(phrase: str) -> str:
    """The dual behind a verb or a preposition: "كلبان" gives "كلبين", "حبتا" gives "حبتي"."""
    words = phrase.split(" ")
    words[0] = words[0][:-1] + "ي" if words[0].endswith("ا") else words[0]
    return " ".join(w[:-2] + "ين" if w.endswith("ان") else w for w in words)


class Arabic(Names):
    """Modern Standard Arabic."""

    language = "ar"
    languages = {"en": "الإنجليزية", "fr": "الفرنسية", "ar": "العربية"}
    places = {
        "left": ("على اليسار", "في اليسار", "إلى اليسار", "في جهة اليسار"),
        "right": ("على اليمين", "في اليمين", "إلى اليمين", "في جهة اليمين"),
        "top": ("في الأعلى", "في أعلى الصورة", "إلى الأعلى"),
        "bottom": ("في الأسفل", "في أسفل الصورة", "إلى الأسفل"),
        "centre": ("في الوسط", "في المنتصف", "في وسط الصورة"),
    }
    short_places = {
        "left": ("يسار",),
        "right": ("يمين",),
        "top": ("أعلى",),
        "bottom": ("أسفل",),
        "centre": ("وسط",),
    }
    sizes = {"small": ("صغير",), "big": ("كبير", "ضخم")}
    relations = {
        "left of": ("على يسار", "إلى يسار"),
        "right of": ("على يمين", "إلى يمين"),
        "above": ("فوق", "أعلى"),
        "below": ("تحت", "أسفل"),
    }
    together = ("و", "بجانب", "مع")
    times = {
        1: ("مرة واحدة", "مرة"),
        2: ("مرتين",),
        3: ("ثلاث مرات", "3 مرات"),
    }
    directions = {"rising": ("صاعد", "يصعد"), "falling": ("هابط", "يهبط")}
    with_background = (
        " على خلفية $background",
        "، خلفية $background",
        " مع خلفية $background",
        " أمام خلفية $background",
        "، والخلفية $background",
    )
    before_background = (
        "على خلفية $background: ",
        "على خلفية $background، ",
        "خلفية $background: ",
    )
    moving = {
        "moves left": ("يتحرك يسارا", "يتحرك إلى اليسار", "يذهب إلى اليسار"),
        "moves right": ("يتحرك يمينا", "يتحرك إلى اليمين", "يذهب إلى اليمين"),
        "moves up": ("يصعد", "يتحرك إلى الأعلى", "يرتفع"),
        "moves down": ("ينزل", "يتحرك إلى الأسفل", "يهبط"),
        "grows": ("يكبر", "يزداد حجما"),
        "shrinks": ("يصغر", "يتقلص"),
        "spins": ("يدور", "يدور حول نفسه"),
        "bounces": ("يقفز", "يرتد", "يثب"),
        "blinks": ("يومض",),
    }
    to_move = moving
    joiner = "، "
    conjunction = " و"

    def noun(self, name: str) -> str:
        return load().object(name).ar

    def asked(self, name: str, rng: random.Random) -> str:
        """The noun, at times with the ending that careful writers give the object of a verb."""
        noun = self.noun(name)
        ends = " " not in noun and noun[-1] not in _WITHOUT_ALIF
        return f"{noun}ا" if ends and rng.random() < ACCUSATIVE else noun

    def some(self, name: str) -> str:
        return self.plural(name)

    def feminine(self, noun: str) -> bool:
        """Whether the noun is feminine, by its ending or by custom."""
        return noun in _FEMININE or noun.split(" ")[0].endswith("ة")

    def a(self, name: str) -> str:
        return self.noun(name)

    def the(self, name: str) -> str:
        noun = self.noun(name)
        return _DEFINITE.get(noun, f"ال{noun}")

    def plural(self, name: str) -> str:
        form = _FORMS[self.noun(name)]
        return form[2:].split("/")[0] if ":" in form else form

    def counted(self, name: str, count: int, *, asked: bool = False) -> str:
        noun = self.noun(name)
        form = _FORMS[noun]
        if count == 2:
            dual = form.split("/")[1] if ":" in form else _dual(noun)
            return _oblique(dual) if asked else dual
        return f"{self.number(name, count)} {self.plural(name)}"

    def number(self, name: str, count: int) -> str:
        noun = self.noun(name)
        form = _FORMS[noun]
        feminine = form.startswith("f:") if ":" in form else self.feminine(noun)
        return _NUMBERS[count][feminine]

    def the_plural(self, name: str) -> str:
        first, _, rest = self.plural(name).partition(" ")
        if not rest:
            return f"ال{first}"
        if self.the(name).startswith("ال"):
            adjective = " " in self.noun(name)
            return f"{'ال' if adjective else ''}{first} ال{rest}"
        return f"{first} {rest if rest.startswith('عباد') else 'ال' + rest}"

    def sized(self, name: str, size: Size, adjective: str | None = None) -> str:
        word = adjective or self.sizes[size][0]
        return f"{self.noun(name)} {word}{'ة' if self.feminine(self.noun(name)) else ''}"

    def size(self, name: str, size: Size) -> str:
        return self.sizes[size][0] + ("ة" if self.feminine(self.noun(name)) else "")

    def motion(self, name: str, motion: str) -> str:
        return self.agree(name, load().names[motion]["ar"])

    def agree(self, name: str, words: str) -> str:
        """The verb, which comes first and begins with its person, in the object's gender."""
        return "ت" + words[1:] if self.feminine(self.noun(name)) else words

    def background(self, colour: str) -> str:
        return _COLOURS[colour]

    def sound(self, name: str) -> str:
        return load().sound(name).ar

    def it(self, name: str) -> str:
        return ""

    def fix(self, text: str) -> str:
        # "and" and "with" are written together with the word behind them
        return _PREFIX.sub(r"\1\2", text)
