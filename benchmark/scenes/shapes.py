"""The drawings of Scenes: one function for each object. A drawing fills its tile, so its box is that of the tile.

Each function takes a pen and the colour of the object.
"""

from collections.abc import Callable
from typing import TypeAlias

from eidolon.benchmark.scenes.pen import CREAM, INK, NOTHING, SKIN, STEEL, WHITE, WOOD, Pen, Rgb, shade


def person(p: Pen, c: Rgb) -> None:
    p.line([(0.42, 0.6), (0.36, 1.0)], INK, 0.11)
    p.line([(0.58, 0.6), (0.64, 1.0)], INK, 0.11)
    p.line([(0.33, 0.34), (0.16, 0.6)], SKIN, 0.08)
    p.line([(0.67, 0.34), (0.84, 0.6)], SKIN, 0.08)
    p.rectangle(0.3, 0.27, 0.7, 0.66, c, 0.08)
    p.ellipse(0.36, 0.0, 0.64, 0.29, SKIN)
    p.pie(0.35, -0.02, 0.65, 0.27, 180, 360, (70, 45, 30))


def bicycle(p: Pen, c: Rgb) -> None:
    for x in (0.0, 0.56):
        p.ring(x, 0.46, x + 0.44, 0.9, INK, 0.05)
    p.line([(0.22, 0.68), (0.4, 0.36), (0.7, 0.36), (0.46, 0.68), (0.22, 0.68)], c, 0.055)
    p.line([(0.4, 0.36), (0.46, 0.68)], c, 0.05)
    p.line([(0.78, 0.68), (0.68, 0.24)], c, 0.055)
    p.line([(0.6, 0.22), (0.8, 0.2)], INK, 0.05)
    p.line([(0.32, 0.3), (0.48, 0.3)], INK, 0.06)


def car(p: Pen, c: Rgb) -> None:
    p.polygon([(0.2, 0.48), (0.32, 0.25), (0.7, 0.25), (0.84, 0.48)], shade(c, 0.85))
    p.polygon([(0.27, 0.47), (0.35, 0.3), (0.5, 0.3), (0.5, 0.47)], (190, 220, 238))
    p.polygon([(0.54, 0.47), (0.54, 0.3), (0.67, 0.3), (0.77, 0.47)], (190, 220, 238))
    p.rectangle(0.0, 0.46, 1.0, 0.72, c, 0.08)
    for x in (0.12, 0.66):
        p.ellipse(x, 0.58, x + 0.24, 0.82, INK)
        p.ellipse(x + 0.07, 0.65, x + 0.17, 0.75, STEEL)


def boat(p: Pen, c: Rgb) -> None:
    p.line([(0.48, 0.02), (0.48, 0.7)], WOOD, 0.05)
    p.polygon([(0.53, 0.05), (0.53, 0.62), (0.95, 0.62)], WHITE)
    p.polygon([(0.43, 0.14), (0.43, 0.62), (0.1, 0.62)], shade(WHITE, 0.85))
    p.polygon([(0.0, 0.68), (1.0, 0.68), (0.82, 0.96), (0.18, 0.96)], c)


def traffic_light(p: Pen, c: Rgb) -> None:
    p.rectangle(0.45, 0.66, 0.55, 1.0, (90, 90, 95))
    p.rectangle(0.28, 0.0, 0.72, 0.72, (40, 42, 40), 0.06)
    for y, colour in ((0.05, (235, 45, 40)), (0.27, (250, 200, 50)), (0.49, (60, 205, 90))):
        p.ellipse(0.4, y, 0.6, y + 0.19, colour)


def fire_hydrant(p: Pen, c: Rgb) -> None:
    p.rectangle(0.22, 0.88, 0.78, 1.0, shade(c, 0.7))
    p.rectangle(0.32, 0.28, 0.68, 0.9, c, 0.03)
    p.pie(0.28, 0.06, 0.72, 0.5, 180, 360, c)
    p.rectangle(0.44, 0.0, 0.56, 0.1, shade(c, 0.7))
    p.rectangle(0.24, 0.26, 0.76, 0.34, shade(c, 0.75))
    p.rectangle(0.12, 0.45, 0.88, 0.6, shade(c, 0.85), 0.04)
    p.ellipse(0.4, 0.42, 0.6, 0.63, (235, 215, 90))


def stop_sign(p: Pen, c: Rgb) -> None:
    p.rectangle(0.46, 0.6, 0.54, 1.0, STEEL)
    k = 0.2
    octagon = [
        (0.16 + k, 0.0),
        (0.84 - k, 0.0),
        (0.84, k),
        (0.84, 0.68 - k),
        (0.84 - k, 0.68),
        (0.16 + k, 0.68),
        (0.16, 0.68 - k),
        (0.16, k),
    ]
    p.polygon(octagon, WHITE)
    p.polygon([(0.5 + (x - 0.5) * 0.88, 0.34 + (y - 0.34) * 0.88) for x, y in octagon], (200, 30, 35))
    p.rectangle(0.26, 0.27, 0.74, 0.42, WHITE, 0.02)
    for x in (0.37, 0.49, 0.61):
        p.line([(x, 0.28), (x, 0.41)], (200, 30, 35), 0.025)


def bench(p: Pen, c: Rgb) -> None:
    for y in (0.22, 0.36):
        p.rectangle(0.02, y, 0.98, y + 0.1, c)
    p.rectangle(0.0, 0.56, 1.0, 0.67, shade(c, 0.8))
    for x in (0.1, 0.82):
        p.rectangle(x, 0.2, x + 0.07, 0.92, INK)


def bird(p: Pen, c: Rgb) -> None:
    p.polygon([(0.02, 0.5), (0.3, 0.46), (0.24, 0.66)], shade(c, 0.7))
    p.ellipse(0.18, 0.34, 0.78, 0.78, c)
    p.ellipse(0.6, 0.16, 0.9, 0.48, c)
    p.polygon([(0.87, 0.27), (1.0, 0.34), (0.87, 0.39)], (240, 160, 40))
    p.ellipse(0.72, 0.24, 0.79, 0.31, INK)
    p.polygon([(0.28, 0.46), (0.62, 0.46), (0.36, 0.7)], shade(c, 0.65))
    for x in (0.44, 0.56):
        p.line([(x, 0.75), (x, 0.94)], (220, 140, 40), 0.035)


def cat(p: Pen, c: Rgb) -> None:
    p.arc(0.62, 0.4, 1.04, 0.94, 250, 80, c, 0.08)
    p.ellipse(0.2, 0.44, 0.78, 1.0, c)
    p.ellipse(0.2, 0.12, 0.72, 0.56, c)
    p.polygon([(0.21, 0.32), (0.24, 0.0), (0.44, 0.17)], c)
    p.polygon([(0.71, 0.32), (0.68, 0.0), (0.48, 0.17)], c)
    for x in (0.32, 0.52):
        p.ellipse(x, 0.27, x + 0.09, 0.38, (190, 230, 90))
        p.ellipse(x + 0.03, 0.28, x + 0.06, 0.37, INK)
    p.polygon([(0.42, 0.41), (0.5, 0.41), (0.46, 0.46)], (240, 150, 160))


def umbrella(p: Pen, c: Rgb) -> None:
    p.line([(0.5, 0.2), (0.5, 0.88)], INK, 0.05)
    p.arc(0.36, 0.76, 0.53, 0.98, 0, 180, INK, 0.05)
    p.pie(0.0, 0.04, 1.0, 0.92, 180, 360, c)
    p.pie(0.34, 0.04, 0.66, 0.92, 180, 360, shade(c, 1.3))
    for x in (0.0, 0.34, 0.66):
        w = 0.34 if x != 0.34 else 0.32
        p.pie(x, 0.41, x + w, 0.55, 180, 360, shade(c, 0.6))


def sports_ball(p: Pen, c: Rgb) -> None:
    p.ellipse(0.04, 0.04, 0.96, 0.96, WHITE)
    p.ring(0.04, 0.04, 0.96, 0.96, INK, 0.03)
    p.polygon([(0.5, 0.32), (0.68, 0.45), (0.61, 0.66), (0.39, 0.66), (0.32, 0.45)], INK)
    for a, b in (
        ((0.5, 0.32), (0.5, 0.06)),
        ((0.68, 0.45), (0.94, 0.4)),
        ((0.61, 0.66), (0.76, 0.88)),
        ((0.39, 0.66), (0.24, 0.88)),
        ((0.32, 0.45), (0.06, 0.4)),
    ):
        p.line([a, b], INK, 0.05)


def kite(p: Pen, c: Rgb) -> None:
    p.line([(0.5, 0.62), (0.62, 0.76), (0.46, 0.88), (0.6, 1.0)], INK, 0.035)
    p.polygon([(0.5, 0.0), (0.86, 0.28), (0.5, 0.7), (0.14, 0.28)], c)
    p.polygon([(0.5, 0.0), (0.5, 0.7), (0.14, 0.28)], shade(c, 1.4))
    p.line([(0.14, 0.28), (0.86, 0.28)], INK, 0.025)


def surfboard(p: Pen, c: Rgb) -> None:
    p.ellipse(0.32, 0.0, 0.68, 1.0, c)
    p.line([(0.5, 0.04), (0.5, 0.96)], WHITE, 0.05)
    p.polygon([(0.37, 0.72), (0.63, 0.72), (0.5, 0.82)], INK)


def bottle(p: Pen, c: Rgb) -> None:
    p.rectangle(0.43, 0.0, 0.57, 0.1, INK)
    p.rectangle(0.43, 0.08, 0.57, 0.36, c)
    p.rectangle(0.3, 0.32, 0.7, 1.0, c, 0.1)
    p.rectangle(0.3, 0.55, 0.7, 0.78, WHITE)


def cup(p: Pen, c: Rgb) -> None:
    p.ring(0.6, 0.3, 0.98, 0.74, c, 0.09)
    p.polygon([(0.06, 0.16), (0.76, 0.16), (0.68, 0.92), (0.14, 0.92)], c)
    p.ellipse(0.06, 0.06, 0.76, 0.27, shade(c, 0.65))
    p.ellipse(0.14, 0.1, 0.68, 0.24, (90, 55, 30))


def fork(p: Pen, c: Rgb) -> None:
    p.rectangle(0.45, 0.4, 0.55, 1.0, STEEL, 0.04)
    p.rectangle(0.3, 0.28, 0.7, 0.46, STEEL, 0.06)
    for x in (0.3, 0.42, 0.525, 0.635):
        p.rectangle(x, 0.0, x + 0.065, 0.36, STEEL)


def knife(p: Pen, c: Rgb) -> None:
    p.polygon([(0.4, 0.0), (0.62, 0.2), (0.62, 0.62), (0.4, 0.62)], STEEL)
    p.rectangle(0.38, 0.6, 0.62, 1.0, c, 0.05)


def bowl(p: Pen, c: Rgb) -> None:
    p.pie(0.0, -0.1, 1.0, 0.9, 0, 180, c)
    p.ellipse(0.0, 0.26, 1.0, 0.54, shade(c, 0.7))
    p.ellipse(0.08, 0.3, 0.92, 0.5, shade(CREAM, 0.95))
    p.rectangle(0.34, 0.84, 0.66, 0.94, shade(c, 0.8))


def banana(p: Pen, c: Rgb) -> None:
    yellow = (245, 212, 50)
    p.pie(0.0, -0.35, 1.0, 0.9, 10, 170, yellow)
    p.pie(0.06, -0.62, 0.94, 0.62, 0, 180, NOTHING)
    p.polygon([(0.0, 0.3), (0.1, 0.28), (0.1, 0.42), (0.02, 0.44)], (110, 85, 30))


def apple(p: Pen, c: Rgb) -> None:
    p.ellipse(0.04, 0.2, 0.62, 0.96, c)
    p.ellipse(0.38, 0.2, 0.96, 0.96, c)
    p.line([(0.5, 0.3), (0.56, 0.04)], (95, 60, 30), 0.06)
    p.ellipse(0.57, 0.04, 0.86, 0.18, (70, 160, 60))
    p.ellipse(0.18, 0.34, 0.32, 0.54, shade(c, 1.5))


def orange(p: Pen, c: Rgb) -> None:
    p.ellipse(0.03, 0.06, 0.97, 1.0, (242, 140, 30))
    p.ellipse(0.2, 0.2, 0.38, 0.38, (252, 180, 90))
    p.ellipse(0.42, 0.06, 0.58, 0.18, (60, 120, 40))


def pizza(p: Pen, c: Rgb) -> None:
    p.ellipse(0.0, 0.0, 1.0, 1.0, (200, 140, 70))
    p.ellipse(0.08, 0.08, 0.92, 0.92, (250, 205, 95))
    for x, y in ((0.28, 0.24), (0.58, 0.2), (0.7, 0.5), (0.46, 0.5), (0.22, 0.56), (0.5, 0.74)):
        p.ellipse(x - 0.02, y - 0.02, x + 0.15, y + 0.15, (195, 45, 35))
    for angle in range(0, 180, 60):
        p.pie(0.03, 0.03, 0.97, 0.97, angle, angle + 3, (170, 110, 50))
        p.pie(0.03, 0.03, 0.97, 0.97, angle + 180, angle + 183, (170, 110, 50))


def donut(p: Pen, c: Rgb) -> None:
    p.ring(0.0, 0.0, 1.0, 1.0, (205, 150, 85), 0.34)
    p.ring(0.06, 0.06, 0.94, 0.94, c, 0.24)
    for x, y in ((0.2, 0.3), (0.5, 0.12), (0.76, 0.3), (0.82, 0.6), (0.5, 0.84), (0.2, 0.66)):
        p.line([(x, y), (x + 0.05, y + 0.05)], WHITE, 0.04)


def cake(p: Pen, c: Rgb) -> None:
    p.rectangle(0.06, 0.44, 0.94, 0.96, CREAM, 0.04)
    p.rectangle(0.06, 0.38, 0.94, 0.56, c, 0.04)
    for x in (0.14, 0.4, 0.68):
        p.ellipse(x, 0.46, x + 0.16, 0.68, c)
    p.rectangle(0.46, 0.14, 0.54, 0.4, (90, 140, 220))
    p.ellipse(0.44, 0.0, 0.56, 0.17, (250, 180, 50))


def chair(p: Pen, c: Rgb) -> None:
    p.rectangle(0.18, 0.0, 0.28, 1.0, shade(c, 0.75))
    p.rectangle(0.72, 0.52, 0.82, 1.0, shade(c, 0.75))
    p.rectangle(0.18, 0.04, 0.36, 0.5, c, 0.03)
    p.rectangle(0.16, 0.48, 0.86, 0.62, c, 0.03)


def potted_plant(p: Pen, c: Rgb) -> None:
    for a, b in (
        ((0.5, 0.6), (0.12, 0.2)),
        ((0.5, 0.6), (0.5, 0.04)),
        ((0.5, 0.6), (0.88, 0.2)),
        ((0.5, 0.6), (0.08, 0.46)),
        ((0.5, 0.6), (0.92, 0.46)),
    ):
        p.line([a, b], (50, 135, 60), 0.13)
    p.polygon([(0.2, 0.6), (0.8, 0.6), (0.7, 1.0), (0.3, 1.0)], (185, 95, 55))
    p.rectangle(0.16, 0.56, 0.84, 0.68, (160, 78, 42))


def bed(p: Pen, c: Rgb) -> None:
    p.rectangle(0.0, 0.14, 0.08, 0.94, WOOD)
    p.rectangle(0.92, 0.42, 1.0, 0.94, WOOD)
    p.rectangle(0.04, 0.62, 0.96, 0.82, shade(WOOD, 0.8))
    p.rectangle(0.06, 0.44, 0.94, 0.68, WHITE, 0.05)
    p.rectangle(0.34, 0.42, 0.95, 0.7, c, 0.05)
    p.rectangle(0.09, 0.34, 0.32, 0.5, shade(WHITE, 0.9), 0.06)


def tv(p: Pen, c: Rgb) -> None:
    p.rectangle(0.4, 0.72, 0.6, 0.88, INK)
    p.rectangle(0.26, 0.85, 0.74, 0.93, INK)
    p.rectangle(0.0, 0.1, 1.0, 0.76, INK, 0.03)
    p.rectangle(0.05, 0.15, 0.95, 0.7, (95, 160, 215))
    p.polygon([(0.05, 0.7), (0.38, 0.36), (0.6, 0.7)], (70, 130, 80))


def laptop(p: Pen, c: Rgb) -> None:
    p.rectangle(0.14, 0.1, 0.86, 0.64, (60, 62, 68), 0.03)
    p.rectangle(0.19, 0.15, 0.81, 0.59, (215, 232, 245))
    p.polygon([(0.12, 0.64), (0.88, 0.64), (1.0, 0.88), (0.0, 0.88)], STEEL)
    for y in (0.68, 0.74):
        p.line([(0.18, y), (0.82, y)], (90, 92, 98), 0.03)


def clock(p: Pen, c: Rgb) -> None:
    p.ellipse(0.02, 0.02, 0.98, 0.98, c)
    p.ellipse(0.12, 0.12, 0.88, 0.88, WHITE)
    p.line([(0.5, 0.5), (0.5, 0.2)], INK, 0.06)
    p.line([(0.5, 0.5), (0.72, 0.6)], INK, 0.06)
    for x, y in ((0.5, 0.15), (0.85, 0.5), (0.5, 0.85), (0.15, 0.5)):
        p.ellipse(x - 0.03, y - 0.03, x + 0.03, y + 0.03, INK)


def vase(p: Pen, c: Rgb) -> None:
    for (x, y), petal in (
        ((0.3, 0.12), (235, 90, 120)),
        ((0.52, 0.04), (250, 205, 70)),
        ((0.72, 0.14), (190, 110, 220)),
    ):
        p.line([(0.5, 0.46), (x, y)], (60, 140, 70), 0.04)
        p.ellipse(x - 0.1, y - 0.06, x + 0.1, y + 0.14, petal)
    p.ellipse(0.22, 0.48, 0.78, 0.98, c)
    p.rectangle(0.4, 0.36, 0.6, 0.58, c)
    p.rectangle(0.34, 0.34, 0.66, 0.41, shade(c, 0.75))


def scissors(p: Pen, c: Rgb) -> None:
    p.line([(0.26, 0.02), (0.66, 0.66)], STEEL, 0.09)
    p.line([(0.74, 0.02), (0.34, 0.66)], STEEL, 0.09)
    p.ring(0.1, 0.6, 0.46, 0.98, c, 0.09)
    p.ring(0.54, 0.6, 0.9, 0.98, c, 0.09)


def teddy_bear(p: Pen, c: Rgb) -> None:
    fur = (168, 112, 62)
    for x in (0.2, 0.6):
        p.ellipse(x, 0.0, x + 0.2, 0.2, shade(fur, 0.8))
    for x, y in ((0.04, 0.44), (0.7, 0.44), (0.12, 0.74), (0.6, 0.74)):
        p.ellipse(x, y, x + 0.27, y + 0.26, shade(fur, 0.88))
    p.ellipse(0.22, 0.4, 0.78, 0.96, fur)
    p.ellipse(0.36, 0.54, 0.64, 0.84, (222, 184, 135))
    p.ellipse(0.22, 0.04, 0.78, 0.5, fur)
    p.ellipse(0.38, 0.26, 0.62, 0.46, (222, 184, 135))
    for x in (0.36, 0.57):
        p.ellipse(x, 0.18, x + 0.07, 0.25, INK)
    p.ellipse(0.46, 0.29, 0.54, 0.36, INK)


def book(p: Pen, c: Rgb) -> None:
    p.rectangle(0.14, 0.02, 0.86, 0.98, shade(c, 0.7), 0.03)
    p.rectangle(0.8, 0.05, 0.88, 0.95, WHITE)
    p.rectangle(0.14, 0.02, 0.8, 0.98, c, 0.03)
    p.rectangle(0.3, 0.18, 0.66, 0.28, WHITE)
    p.rectangle(0.3, 0.36, 0.56, 0.42, WHITE)


def refrigerator(p: Pen, c: Rgb) -> None:
    p.rectangle(0.22, 0.0, 0.78, 1.0, shade(STEEL, 0.9), 0.04)
    p.rectangle(0.25, 0.03, 0.75, 0.33, (226, 230, 235), 0.02)
    p.rectangle(0.25, 0.37, 0.75, 0.96, (226, 230, 235), 0.02)
    p.rectangle(0.3, 0.12, 0.34, 0.28, INK)
    p.rectangle(0.3, 0.42, 0.34, 0.66, INK)


def cell_phone(p: Pen, c: Rgb) -> None:
    p.rectangle(0.24, 0.0, 0.76, 1.0, c, 0.1)
    p.rectangle(0.3, 0.1, 0.7, 0.84, (120, 190, 235))
    for x in (0.35, 0.47, 0.59):
        for y, colour in ((0.2, (240, 100, 90)), (0.36, (250, 220, 90)), (0.52, (100, 200, 120))):
            p.rectangle(x, y, x + 0.08, y + 0.1, colour)
    p.ellipse(0.46, 0.87, 0.54, 0.95, STEEL)


def tree(p: Pen, c: Rgb) -> None:
    p.rectangle(0.43, 0.6, 0.57, 1.0, (105, 72, 45))
    p.polygon([(0.5, 0.0), (0.86, 0.42), (0.14, 0.42)], (52, 110, 62))
    p.polygon([(0.5, 0.2), (0.94, 0.72), (0.06, 0.72)], (60, 125, 70))


def cloud(p: Pen, c: Rgb) -> None:
    for x, y, r in ((0.18, 0.5, 0.17), (0.42, 0.38, 0.24), (0.7, 0.46, 0.2), (0.82, 0.56, 0.14)):
        p.ellipse(x - r, y - r, x + r, y + r, (240, 243, 248))
    p.rectangle(0.1, 0.5, 0.92, 0.68, (240, 243, 248), 0.08)


def lamp(p: Pen, c: Rgb) -> None:
    p.polygon([(0.32, 0.06), (0.68, 0.06), (0.86, 0.46), (0.14, 0.46)], (250, 225, 150))
    p.rectangle(0.47, 0.46, 0.53, 0.9, (120, 110, 100))
    p.ellipse(0.28, 0.86, 0.72, 1.0, (120, 110, 100))


def rock(p: Pen, c: Rgb) -> None:
    p.polygon([(0.0, 0.86), (0.14, 0.42), (0.44, 0.22), (0.8, 0.38), (1.0, 0.86)], (128, 124, 118))
    p.polygon([(0.44, 0.22), (0.8, 0.38), (1.0, 0.86), (0.56, 0.86)], (105, 102, 98))


def star(p: Pen, c: Rgb) -> None:
    p.polygon(
        [
            (0.5, 0.0),
            (0.62, 0.36),
            (1.0, 0.38),
            (0.7, 0.6),
            (0.81, 0.97),
            (0.5, 0.75),
            (0.19, 0.97),
            (0.3, 0.6),
            (0.0, 0.38),
            (0.38, 0.36),
        ],
        (250, 215, 95),
    )


Shape: TypeAlias = Callable[[Pen, Rgb], None]
