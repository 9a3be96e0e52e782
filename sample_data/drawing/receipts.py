"""Receipts, tables and a menu: text in columns."""

from __future__ import annotations

from drawing.paper import Page, noise, shade

THERMAL = (248, 246, 238)


def receipt_en() -> Page:
    page = Page(760, 1180, THERMAL, ink=(45, 45, 50))
    page.line(380, 90, "GREEN LANE GROCERY", "mono bold", 40, at="centre")
    page.line(380, 140, "18 Harbour Street, Whitby", "mono", 27, at="centre")
    page.line(380, 180, "Tel 01947 555 0142", "mono", 27, at="centre")
    page.rule(215, 50, 710, dash=14)
    page.cells(265, [(50, "14/03/2026 17:42", "left"), (710, "Till 3", "right")], "mono", 27)
    page.line(50, 308, "Served by Margaret", "mono", 27)
    page.rule(340, 50, 710, dash=14)
    items = [
        ("Wholemeal bread 800g", "1.85"),
        ("Semi-skimmed milk 2L", "2.10"),
        ("Free range eggs x12", "3.40"),
        ("Cheddar mature 350g", "4.25"),
        ("Bananas 1.12 kg", "1.06"),
        ("Ground coffee 227g", "5.60"),
        ("Washing-up liquid", "1.15"),
    ]
    for i, (name, price) in enumerate(items):
        page.cells(400 + 50 * i, [(50, name, "left"), (710, price, "right")], "mono", 29)
    page.rule(745, 50, 710, dash=14)
    page.cells(805, [(50, "TOTAL", "left"), (710, "19.41", "right")], "mono bold", 40)
    page.cells(860, [(50, "CASH", "left"), (710, "20.00", "right")], "mono", 29)
    page.cells(905, [(50, "CHANGE", "left"), (710, "0.59", "right")], "mono", 29)
    page.rule(945, 50, 710, dash=14)
    page.line(380, 1005, "Thank you for shopping with us", "mono", 27, at="centre")
    page.line(380, 1050, "Please keep this receipt", "mono", 27, at="centre")
    page.picture = noise(shade(page.picture, 0.88), 4, seed=11)
    return page


def receipt_zh() -> Page:
    page = Page(760, 1200, THERMAL, ink=(45, 45, 50))
    page.line(380, 95, "好邻居便利店", "hei bold", 46, at="centre")
    page.line(380, 150, "杭州市西湖区文三路128号", "hei", 28, at="centre")
    page.rule(185, 50, 710, dash=14)
    page.line(50, 235, "单号：20260314008652", "hei", 28)
    page.line(50, 280, "日期：2026年3月14日 18:05", "hei", 28)
    page.line(50, 325, "收银员：王小梅", "hei", 28)
    page.rule(355, 50, 710, dash=14)
    page.cells(402, [(50, "品名", "left"), (520, "数量", "right"), (710, "金额", "right")], "hei bold", 29)
    items = [
        ("纯牛奶250毫升", "2", "7.00"),
        ("全麦面包", "1", "9.80"),
        ("红富士苹果", "3", "12.60"),
        ("矿泉水", "4", "8.00"),
        ("酸辣牛肉面", "1", "5.50"),
        ("抽纸三包装", "1", "14.90"),
    ]
    for i, (name, count, price) in enumerate(items):
        page.cells(460 + 52 * i, [(50, name, "left"), (520, count, "right"), (710, price, "right")], "hei", 30)
    page.rule(762, 50, 710, dash=14)
    page.cells(825, [(50, "合计", "left"), (710, "57.80", "right")], "hei bold", 42)
    page.cells(885, [(50, "微信支付", "left"), (710, "57.80", "right")], "hei", 30)
    page.cells(935, [(50, "本次积分", "left"), (710, "57", "right")], "hei", 30)
    page.rule(970, 50, 710, dash=14)
    page.line(380, 1030, "谢谢惠顾，欢迎再次光临", "hei", 30, at="centre")
    page.line(380, 1080, "请保留小票，七日内凭票退换", "hei", 28, at="centre")
    page.picture = noise(shade(page.picture, 0.9), 4, seed=12)
    return page


def _grid(page: Page, left: int, top: int, widths: list[int], height: int, rows: int) -> None:
    right, bottom = left + sum(widths), top + height * rows
    for row in range(rows + 1):
        page.draw.line((left, top + row * height, right, top + row * height), (90, 90, 90), 2)
    x = left
    for width in [0, *widths]:
        x += width
        page.draw.line((x, top, x, bottom), (90, 90, 90), 2)


def _table(page: Page, top: int, widths: list[int], rows: list[list[str]], faces: tuple[str, str], size: int) -> None:
    height = round(size * 2.2)
    left = (page.picture.width - sum(widths)) // 2
    page.draw.rectangle((left, top, left + sum(widths), top + height), (222, 232, 242))
    _grid(page, left, top, widths, height, len(rows))
    centres = [left + sum(widths[:i]) + width / 2 for i, width in enumerate(widths)]
    for i, row in enumerate(rows):
        cells = [(x, text, "centre") for x, text in zip(centres, row, strict=True)]
        page.cells(top + height * (i + 0.5) + size * 0.36, cells, faces[i == 0], size)


def table_en() -> Page:
    page = Page(1200, 860)
    page.line(600, 95, "Ferry timetable, winter 2026", "bold", 44, at="centre")
    rows = [
        ["Departs", "Arrives", "Route", "Days", "Fare"],
        ["06:40", "08:15", "Oban to Mull", "Mon-Fri", "7.30"],
        ["09:05", "10:50", "Oban to Lismore", "Daily", "5.95"],
        ["11:30", "13:20", "Oban to Coll", "Wed, Sat", "12.40"],
        ["14:45", "16:10", "Oban to Mull", "Daily", "7.30"],
        ["17:55", "19:35", "Oban to Tiree", "Fri, Sun", "14.80"],
        ["20:15", "21:50", "Oban to Mull", "Sat only", "8.10"],
    ]
    _table(page, 150, [180, 180, 340, 220, 160], rows, ("sans", "bold"), 34)
    page.line(60, 745, "Bicycles travel free of charge.", "sans", 32)
    page.line(60, 800, "Check in at least 20 minutes before departure.", "sans", 32)
    return page


def table_zh() -> Page:
    page = Page(1200, 840)
    page.line(600, 95, "三年级二班期中成绩表", "hei bold", 46, at="centre")
    rows = [
        ["学号", "姓名", "语文", "数学", "英语", "总分"],
        ["01", "陈思远", "92", "88", "95", "275"],
        ["02", "李雨桐", "85", "97", "90", "272"],
        ["03", "赵明轩", "78", "91", "84", "253"],
        ["04", "孙佳怡", "96", "93", "98", "287"],
        ["05", "周子涵", "81", "76", "89", "246"],
        ["06", "吴浩然", "89", "94", "87", "270"],
    ]
    _table(page, 150, [140, 240, 170, 170, 170, 170], rows, ("hei", "hei bold"), 34)
    page.line(70, 760, "班主任：刘秀英", "hei", 32)
    return page
