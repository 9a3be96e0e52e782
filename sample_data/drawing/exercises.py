"""Pictures to be solved or programmed: a maths sheet, a word problem, a triangle, a web form, a flow chart."""

from __future__ import annotations

from pathlib import Path

from drawing.paper import Page

BLUE = (36, 96, 190)


def maths_sheet() -> Page:
    page = Page(1000, 800)
    page.line(500, 90, "Exercises 7", "serif bold", 48, at="centre")
    sums = ["1)   3x + 7 = 25", "2)   48 ÷ 6 + 5 × 4", "3)   (12 - 5)² - 9", "4)   2/3 + 1/4", "5)   15 % of 240"]
    for i, text in enumerate(sums):
        page.line(120, 210 + 110 * i, text, "serif", 46)
    return page


def word_problem() -> Page:
    page = Page(1100, 620)
    page.line(80, 110, "应用题", "hei bold", 50)
    text = [
        "甲、乙两地相距 360 千米。一辆客车和一辆货车",
        "同时从两地相向开出，客车每小时行 70 千米，",
        "货车每小时行 50 千米。",
        "问：几小时后两车相遇？相遇时客车行了多少千米？",
    ]
    for i, line in enumerate(text):
        page.line(80, 220 + 90 * i, line, "song", 42)
    return page


def triangle() -> Page:
    page = Page(900, 700)
    page.draw.line([(180, 540), (180, 180), (660, 540), (180, 540)], page.ink, 5, joint="curve")
    page.draw.line([(180, 500), (220, 500), (220, 540)], page.ink, 4)
    page.line(165, 170, "A", "serif", 40, at="right")
    page.line(150, 575, "B", "serif", 40, at="centre")
    page.line(685, 575, "C", "serif", 40, at="centre")
    page.line(155, 375, "6 cm", "serif", 38, at="right")
    page.line(420, 595, "8 cm", "serif", 38, at="centre")
    page.line(450, 335, "?", "serif bold", 44)
    return page


def _field(page: Page, y: int, label: str, hint: str) -> None:
    page.line(200, y, label, "sans", 28)
    page.draw.rounded_rectangle((200, y + 16, 800, y + 76), 10, "white", (170, 176, 186), 2)
    page.line(222, y + 56, hint, "sans", 26, ink=(150, 156, 164))


def web_form() -> Page:
    page = Page(1000, 900, (238, 241, 246), ink=(40, 46, 56))
    page.draw.rounded_rectangle((140, 60, 860, 840), 24, "white", (214, 218, 226), 2)
    page.line(500, 145, "Create your account", "bold", 42, at="centre")
    _field(page, 220, "Full name", "Ada Example")
    _field(page, 350, "Email", "ada@mail.example")
    _field(page, 480, "Password", "at least 12 characters")
    page.draw.rectangle((200, 600, 228, 628), "white", (120, 126, 136), 3)
    page.line(245, 624, "Send me the newsletter", "sans", 27)
    page.draw.rounded_rectangle((200, 670, 800, 745), 12, BLUE)
    page.line(500, 719, "Sign up", "bold", 32, at="centre", ink="white")
    page.line(500, 800, "Already registered? Log in", "sans", 26, at="centre", ink=BLUE)
    return page


def _down(page: Page, x: int, top: int, bottom: int) -> None:
    page.draw.line((x, top, x, bottom - 14), page.ink, 4)
    page.draw.polygon([(x, bottom), (x - 11, bottom - 20), (x + 11, bottom - 20)], page.ink)


def flow_chart() -> Page:
    page = Page(1000, 1100)
    page.draw.rounded_rectangle((350, 50, 650, 130), 40, (222, 240, 222), page.ink, 4)
    page.line(500, 102, "Start", "sans", 32, at="centre")
    _down(page, 500, 130, 200)
    page.draw.rectangle((320, 200, 680, 290), (226, 234, 248), page.ink, 4)
    page.line(500, 256, "Read number n", "sans", 32, at="centre")
    _down(page, 500, 290, 360)
    page.draw.polygon([(500, 360), (720, 480), (500, 600), (280, 480)], (252, 240, 212), page.ink, 4)
    page.line(500, 491, "n mod 2 = 0 ?", "sans", 32, at="centre")
    page.draw.line([(280, 480), (200, 480), (200, 686)], page.ink, 4)
    page.draw.line([(720, 480), (800, 480), (800, 686)], page.ink, 4)
    page.line(240, 465, "yes", "sans", 28, at="centre")
    page.line(760, 465, "no", "sans", 28, at="centre")
    for x, text in ((200, "Print even"), (800, "Print odd")):
        _down(page, x, 640, 700)
        page.draw.rectangle((x - 140, 700, x + 140, 790), (226, 234, 248), page.ink, 4)
        page.line(x, 756, text, "sans", 32, at="centre")
    page.draw.line([(200, 790), (200, 880), (800, 880), (800, 790)], page.ink, 4)
    _down(page, 500, 880, 950)
    page.draw.rounded_rectangle((350, 950, 650, 1030), 40, (248, 224, 224), page.ink, 4)
    page.line(500, 1002, "End", "sans", 32, at="centre")
    return page


EXERCISES = {
    "maths_sheet.png": maths_sheet,
    "word_problem_zh.png": word_problem,
    "triangle.png": triangle,
    "web_form.png": web_form,
    "flow_chart.png": flow_chart,
}


def write_exercises(folder: Path) -> None:
    """Draw each picture as a PNG of few colours."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in EXERCISES.items():
        draw().picture.quantize(32).save(folder / name, optimize=True)
