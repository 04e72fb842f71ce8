"""Script and language of short texts, and where the detector abstains."""

import pytest

from policy_update.gating.language import FUNCTION_WORDS, drifted, language, script

ENGLISH = "What is the best way to keep bread fresh for a week?"
SAID = {
    "English": "You can keep it in a bag, and it will be good for some days if it is not too warm.",
    "German": "Am besten ist es, wenn Sie das Brot in ein Tuch wickeln und nicht in den Kühlschrank legen.",
    "French": "Le pain se garde dans un sac et vous pouvez le mettre dans une boîte pour la semaine.",
    "Spanish": "El pan se guarda en una bolsa y no en la nevera, para que no pierda su sabor.",
    "Italian": "Il pane si conserva in un sacchetto di carta, ma non è bene tenerlo nel frigorifero.",
    "Portuguese": "O pão não se guarda na geladeira, mas em um saco de papel para que dure uma semana.",
    "Dutch": "Je kan het brood in een doek doen en het niet in de koelkast leggen, maar op de tafel.",
    "Polish": "Chleb jest najlepszy, jak się go trzyma w lnianym worku i nie wkłada do lodówki na noc.",
    "Turkish": "Ekmek bir bez içinde daha iyi durur ve buzdolabına koymak için çok neden var.",
    "Swedish": "Det är bäst att ha brödet i en påse av papper, och inte i kylen som många har det.",
}


@pytest.mark.parametrize("name", sorted(FUNCTION_WORDS))
def test_a_sentence_of_each_language(name: str) -> None:
    assert language(SAID[name]) == name
    assert drifted(ENGLISH, SAID[name]) == (name != "English")
    assert not drifted(SAID[name], SAID[name])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Хлеб лучше хранить в бумажном пакете", "Cyrillic"),
        ("面包最好放在纸袋里保存一个星期", "Han and kana"),
        ("パンは紙袋に入れて保存します", "Han and kana"),
        ("빵은 종이 봉투에 보관하세요", "Hangul"),
        ("من الأفضل حفظ الخبز", "Arabic"),
        ("Το ψωμί διατηρείται καλύτερα", "Greek"),
        ("Bread", None),
        ("12 + 30 = 42 !!!", None),
        ("Bread keeps in paper", "Latin"),
    ],
)
def test_scripts(text: str, expected: str | None) -> None:
    assert script(text) == expected
    assert drifted(ENGLISH, text) == (expected not in (None, "Latin"))


def test_a_third_of_foreign_letters_is_drift_a_foreign_word_is_not() -> None:
    assert drifted(ENGLISH, "Keep the bread in paper. Хлеб храните в бумаге")
    assert not drifted(ENGLISH, "In Moscow they call it хлеб, and keep it in a bag of paper for some days.")


@pytest.mark.parametrize("text", ["", "Bread, butter, jam.", "42", "def f(x): return x + 1", "OK"])
def test_little_text_is_no_drift(text: str) -> None:
    assert language(text) is None
    assert not drifted(ENGLISH, text)
    assert not drifted(text, SAID["German"])
