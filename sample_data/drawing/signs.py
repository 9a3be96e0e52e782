"""Posters and signs: few words, large, in colour."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from drawing.paper import Page, noise, shade


def _gradient(page: Page, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> None:
    width, height = page.picture.size
    share = np.linspace(0, 1, height)[:, None]
    column = np.array(top) * (1 - share) + np.array(bottom) * share
    page.picture = Image.fromarray(np.repeat(column[:, None, :], width, axis=1).astype(np.uint8))
    page.draw = ImageDraw.Draw(page.picture)


def poster_en() -> Page:
    page = Page(900, 1270, ink=(250, 240, 215))
    _gradient(page, (22, 30, 72), (122, 46, 92))
    page.draw.ellipse((690, 70, 850, 230), (250, 222, 150))
    for x, height in zip(range(0, 900, 75), (90, 150, 60, 190, 120, 80, 170, 110, 60, 140, 95, 120), strict=True):
        page.draw.rectangle((x, 1270 - height, x + 68, 1270), (14, 14, 34))
    page.line(70, 170, "SUMMER NIGHT", "serif bold", 60)
    page.line(70, 250, "JAZZ FESTIVAL", "serif bold", 60)
    page.line(450, 430, "Riverside Park", "serif", 52, at="centre")
    page.line(450, 520, "Friday 17 July 2026", "bold", 48, at="centre")
    page.line(450, 590, "Doors open at 7 pm", "sans", 40, at="centre")
    page.line(450, 720, "The Blue Lantern Quartet", "serif", 42, at="centre")
    page.line(450, 785, "Nadia Okafor and Friends", "serif", 42, at="centre")
    page.line(450, 850, "Harbour Street Big Band", "serif", 42, at="centre")
    page.line(450, 980, "Tickets from 15 at the box office", "sans", 36, at="centre", ink=(255, 255, 255))
    return page


def poster_zh() -> Page:
    page = Page(900, 1270, ink=(120, 22, 20))
    _gradient(page, (252, 240, 214), (244, 205, 150))
    page.draw.rectangle((30, 30, 870, 1240), outline=(160, 40, 30), width=8)
    for x in (150, 750):
        page.draw.line((x, 38, x, 110), (120, 22, 20), 4)
        page.draw.ellipse((x - 70, 110, x + 70, 240), (200, 40, 30))
        page.draw.rectangle((x - 30, 236, x + 30, 254), (230, 180, 60))
    page.line(450, 220, "元宵灯会", "song bold", 96, at="centre")
    page.line(450, 370, "猜灯谜 赏花灯 吃汤圆", "song bold", 58, at="centre")
    page.line(450, 520, "时间：正月十五晚六点", "hei", 48, at="centre")
    page.line(450, 600, "地点：人民公园南门广场", "hei", 48, at="centre")
    page.line(450, 680, "票价：成人三十元，儿童免票", "hei", 48, at="centre")
    page.line(450, 840, "现场有舞龙表演和民间手工艺展示", "song", 44, at="centre")
    page.line(450, 1080, "主办单位：城南街道文化站", "hei", 38, at="centre")
    page.line(450, 1140, "咨询电话：0571-86420135", "hei", 38, at="centre")
    return page


def _arrow(page: Page, x: int, y: int, step: int) -> None:
    page.draw.line((x, y, x + step * 80, y), "white", 14)
    tip = x + step * 115
    page.draw.polygon([(tip, y), (x + step * 70, y - 34), (x + step * 70, y + 34)], "white")


def sign_en() -> Page:
    page = Page(1200, 800, (188, 205, 220), ink=(255, 255, 255))
    page.draw.rectangle((170, 640, 210, 800), (120, 124, 128))
    page.draw.rectangle((990, 640, 1030, 800), (120, 124, 128))
    page.draw.rounded_rectangle((80, 90, 1120, 650), 34, (16, 98, 66), (255, 255, 255), 8)
    _arrow(page, 250, 205, -1)
    page.line(320, 225, "City Museum 400 m", "bold", 56)
    _arrow(page, 250, 335, -1)
    page.line(320, 355, "Railway Station", "bold", 56)
    _arrow(page, 140, 465, 1)
    page.line(320, 485, "Old Harbour 1.2 km", "bold", 56)
    page.line(600, 600, "NO ENTRY FOR MOTOR VEHICLES", "bold", 42, at="centre")
    page.picture = noise(shade(page.picture, 0.85), 5, seed=21)
    return page


def sign_zh() -> Page:
    page = Page(1100, 820, (150, 152, 148), ink=(30, 30, 30))
    page.draw.rounded_rectangle((90, 70, 1010, 750), 30, (250, 206, 40), (30, 30, 30), 10)
    page.draw.polygon([(250, 130), (130, 330), (370, 330)], (250, 206, 40), (30, 30, 30), width=14)
    page.draw.rectangle((241, 195, 259, 275), (30, 30, 30))
    page.draw.ellipse((239, 286, 261, 308), (30, 30, 30))
    page.line(430, 285, "小心地滑", "hei bold", 120)
    page.line(550, 450, "雨天路面湿滑，请慢行", "hei bold", 60, at="centre")
    page.line(550, 560, "请扶好栏杆，照看好老人和儿童", "hei", 50, at="centre")
    page.line(550, 680, "物业服务中心", "hei", 46, at="centre")
    page.picture = noise(shade(page.picture, 0.85), 5, seed=22)
    return page
