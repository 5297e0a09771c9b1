"""Words with several senses: which of them name an object, and which do not."""

import pytest

from eidolon.scorers.text.lexicon import load_lexicon
from eidolon.scorers.text.matches import Reason
from eidolon.scorers.text.reading_careful import CarefulReading

READING = CarefulReading(load_lexicon("coco80"))

SENSES = {
    # Glasses.
    "He lifts a glass of white wine.": "wine glass",
    "Two glasses of wine and a glass of champagne": "wine glass, wine glass",
    "a glass filled with red wine": "wine glass",
    "a champagne flute by a wine bottle": "wine glass, bottle",
    "wine glasses filled with red wine": "wine glass",
    "a glass of water, a glass of milk": "",
    "a bottle of wine": "bottle",
    # Balls: the thing, not the sport.
    "She throws a softball.": "sports ball",
    "His basketball is orange.": "sports ball",
    "The football rolls into the goal.": "sports ball",
    "A white volleyball flying over the net": "sports ball",
    "Three baseballs and two footballs": "sports ball, sports ball",
    "the child's football": "person, sports ball",
    "a soccer ball, a rugby ball": "sports ball, sports ball",
    "They play basketball. Children playing football.": "person",
    "a game of volleyball": "",
    "a baseball game on a baseball field": "",
    "a basketball court with a basketball hoop": "",
    "the football team in the football stadium": "",
    "a baseball player in a baseball cap": "person",
    "a baseball bat and a baseball glove": "baseball bat, baseball glove",
    "a baseball and football fan": "",
    "two baseball players in a field, several football uniforms in a box": "person",
    "practicing a baseball swing in a baseball batting cage": "",
    "a baseball or a bat": "sports ball, baseball bat",
    # More names.
    "under a parasol": "umbrella",
    "He throws a flying disc; she catches a flying disk.": "frisbee, frisbee",
    "on a paddleboard and a boogie board": "surfboard, surfboard",
    "a stuffed animal and a plush bear": "teddy bear, teddy bear",
    "a sheep dog and a cup cake": "dog, cake",
    # A wheelchair is a vehicle for a person: no chair in two of three published captions that name one.
    "A man in a wheelchair, a wheel chair": "person",
    "an armchair, a high chair": "chair, chair",
    "The chairlift and the ski lift": "",
    # Tie.
    "The match ended in a tie game.": "",
    "wooden ties under the rails, a zip tie": "",
    "railway ties": "",
    "Old ties lie along the railroad.": "",
    "a man in a suit and tie at the railroad": "person, tie",
    # Couch, fork, bed, sink and others within fixed phrases.
    "a couch potato on a couch": "couch",
    "a fork in the road, forks in the road": "",
    "a bed and breakfast": "",
    "Her feet sink into the sand.": "",
    "an apple watch, the apple logo": "",
    "a prairie dog": "",
    "the plaque bears the name of a town": "",
    "bike fork and tuning fork": "",
    # Mouse, bat and keyboard.
    "A brown mouse eats cheese.": "",
    "A cat plays with a toy mouse.": "cat",
    "a mouse beside the keyboard on the grass": "mouse, keyboard",
    "a mouse on a pad": "mouse",
    "A bat spreads its wings.": "",
    "The batter swings the bat, a bat with wings": "person, baseball bat, baseball bat",
    "He holds a bat.": "baseball bat",
    "The band has a singer and a keyboard.": "",
    "an electronic keyboard": "",
    "A keyboard near a computer and a guitar": "keyboard, laptop",
    "A keyboard": "keyboard",
    "a cell phone tower, phone masts": "",
    # Animals in phrases.
    "a bird nest, a bird\u2019s nest and a bird's-eye view": "",
    "a bird on its nest": "bird",
    "her pony tail, a sea horse, a saw horse": "",
    "an elephant calf with its mother; a tattoo on his calf": "elephant",
    "a calf and a cow": "cow, cow",
    "A dog costume, cow masks, a cat suit": "",
    "a man dressed as a bear": "person",
    # Likenesses.
    "The cloud is shaped like a sheep.": "",
    "a vase in the shape of a cat": "vase",
    "The rock resembles an elephant or a bear.": "",
    "The building looks like a ship.": "",
    "There is something that looks like a phone.": "cell phone",
    "It looks like a dog.": "dog",
    "an object that looks like a kite": "kite",
    "It looks like the dog is asleep.": "dog",
    "The man looks like the dog is his.": "person, dog",
    "a cake made to look like a train on a table": "cake, dining table",
    "people dressed as pirates riding horses": "person, horse",
    "a statue of a dog, a painting of a horse": "dog, horse",
    # Written text.
    "The sign says \u201cHorse Crossing\u201d near a horse.": "horse",
    'The words "Fresh Apples" and "Hot Dogs" are on the truck.': "truck",
    'A "No Dogs" sign': "",
    "The poster reads 'Lost Cat'.": "",
    'The caption reads "A cat on a bed".': "cat, bed",
    'He rides a "train" to work.': "train",
    "The men's bus reads a lot": "person, bus",
    # Short names.
    "A teddy bear on a chair. The bear is brown.": "teddy bear, chair, teddy bear",
    "Stuffed animals: two bears": "teddy bear, teddy bear",
    "A bear in a zoo. A teddy bear in a shop. The bear sleeps.": "bear, teddy bear, bear",
    "A teddy bear, and a real bear": "teddy bear, bear",
    "Two hot dogs. The dogs are topped with mustard.": "hot dog, hot dog",
    "A hot dog. The dog is asleep.": "hot dog, dog",
    # Parts of a train and of other things.
    "A train with six cars.": "train",
    "The cars of the train are blue. The first car is red.": "train",
    "The train is pulling several cars behind it.": "train",
    "The train has many cars. The cars are yellow.": "train",
    "A train passes cars parked on the road.": "train, car",
    "A train and a car": "train, car",
    "a subway car": "train",
    "the seats of the bus, a bench with a wooden seat": "bus, bench",
    # Hyphens.
    "a horse-drawn carriage and a kite-flying boy": "horse, kite, person",
    "a man-made, cat-friendly, dog-shaped thing": "",
}


@pytest.mark.parametrize(("text", "expected"), SENSES.items())
def test_sense(text: str, expected: str) -> None:
    assert ", ".join(named.category for named in READING.read(text)) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("They play football.", Reason.SPORT),
        ("A mouse in a burrow.", Reason.SENSE),
        ("The hill resembles a bear.", Reason.LIKENESS),
        ('It says "bus".', Reason.WRITTEN),
        ("a train with ten cars", Reason.PART),
    ],
)
def test_says_why(text: str, reason: Reason) -> None:
    assert [item.dropped for item in READING.explain(text) if item.dropped] == [reason]


def test_category_of_a_short_name() -> None:
    (_, second) = READING.read("A teddy bear. The bear is big.")
    assert (second.category, second.term, second.start) == ("teddy bear", "bear", 18)
