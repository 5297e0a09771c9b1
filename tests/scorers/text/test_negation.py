"""Denial: which of the objects of a sentence it takes back."""

import pytest

from eidolon.scorers.text.lexicon import load_lexicon
from eidolon.scorers.text.reading_careful import CarefulReading

READING = CarefulReading(load_lexicon("coco80"))

SCOPES = {
    # Verbs end the scope.
    "A boy with no jacket riding a skateboard": "person, skateboard",
    "A man without a cap eating a sandwich": "person, sandwich",
    "A woman without shoes holding an umbrella": "person, umbrella",
    "A girl with no helmet kicks a ball": "person, sports ball",
    "A child with no coat flying kites": "person, kite",
    "A rider with no gloves sits on a horse": "person, horse",
    "no other moving cars": "",
    "There are no people standing near the bus": "bus",
    "There are no people sitting or dogs sleeping": "",
    # Lists.
    "A road devoid of trucks and people.": "",
    "A park without benches and umbrellas.": "",
    "a room free of chairs, beds and tables": "",
    "There are no cats and dogs.": "",
    "There is no other furniture, such as a couch or a bed, in the room.": "",
    "There are no other animals, like a dog, a cat, or a horse.": "",
    "No vehicles like buses or trains are visible.": "",
    "There are no other objects (such as a knife) here": "",
    "There are no computer accessories, keyboards, or mice": "",
    "No dogs and cats are present.": "",
    "without a tie or a hat or an umbrella": "",
    "no people visible or cars parked": "",
    "no sign of people, cars, or other vehicles": "",
    "no sign of the dog": "",
    "There is no indication that there is a cat": "",
    # What an "and" or a comma does not reach.
    "There are no people and the dog is alone": "dog",
    "There are no people and dogs are running": "dog",
    "a man with no hat and a surfboard": "person, surfboard",
    "no trucks, and two cars": "car",
    "no cats, people are sitting": "person",
    "no animals other than a dog": "dog",
    "no one except the man": "person",
    "no more than three cats": "cat",
    # Other cues.
    "zero cars and 0 dogs": "",
    "The street lacks cars; the rooms lack beds.": "",
    "The room is clear of chairs": "",
    "I can not see any boat; I cannot see any bus.": "",
    "It is not next to any car or truck.": "",
    "I did not notice any horses.": "",
    "I am unable to find a cat.": "",
    "There are not any people in the image or any boats": "",
    "The bike is missing a seat": "bicycle",
    "neither a cat nor a dog": "",
    "neither cats nor dogs are there": "",
    "The absence of people or cars": "",
    "not just any dog": "dog",
    "It is not possible to say how many dogs there are": "dog",
    "a car not touching any other car": "car, car",
    "There are not any other cars.": "",
    # Predicates.
    "The cup behind the dog is not visible.": "dog",
    "The man holding the umbrella is not visible.": "umbrella",
    "The dog and the cat are not visible.": "",
    "The face of the woman is not visible.": "person",
    "The man's face is not visible.": "person",
    "A man sits on a chair and the dog is not visible.": "person, chair",
    "The cars can't be seen.": "",
    "People are absent; cats are missing from the picture.": "",
    "The man is missing his tie": "person",
    "The toilet seat is missing.": "toilet",
    "The boat is nowhere to be seen.": "",
    "The dog does not appear in the image.": "",
    "The dog does not appear to be wearing a tie": "dog",
    "A bus is not in the picture": "",
    "The dog is not in the car.": "dog, car",
    # Labels.
    "Cat: none": "",
    "Cars: 0, dogs: 2": "dog",
    "Dogs - none\nCats - one": "cat",
    "| bus | 0 |": "",
    '{"cat": 0, "dog": 1}': "dog",
    "Person: no hat": "person",
    "Horse: no": "",
    "Boats: not visible": "",
    "Truck: no truck is visible": "",
    "Absent: dog, cat, horse.": "",
    "Not present: cars, people": "",
}


@pytest.mark.parametrize(("text", "expected"), SCOPES.items())
def test_scope(text: str, expected: str) -> None:
    assert ", ".join(named.category for named in READING.read(text)) == expected
