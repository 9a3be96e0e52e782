"""Running text under bad conditions: tilted, noisy, two languages on one page."""

from __future__ import annotations

from drawing.paper import Page, blur, noise, shade, tilt

DESK = (112, 84, 60)


def tilted_en() -> Page:
    page = Page(1000, 760, (253, 252, 246), ink=(28, 36, 80))
    page.line(80, 110, "Dear Thomas,", "serif", 40)
    text = [
        "thank you for the parcel which came",
        "on Tuesday. The seeds are already in",
        "the greenhouse and the first of them",
        "have started to grow. Please visit us",
        "when the apple trees are in flower.",
    ]
    for i, line in enumerate(text):
        page.line(80, 210 + 68 * i, line, "serif", 40)
    page.line(80, 600, "With kind regards,", "serif", 40)
    page.line(80, 670, "Eleanor Whitfield", "serif", 40)
    page.picture = noise(tilt(page.picture, 6, DESK), 4, seed=31)
    return page


def tilted_zh() -> Page:
    page = Page(1000, 740, (253, 252, 246), ink=(30, 30, 34))
    page.line(500, 110, "停水通知", "hei bold", 56, at="centre")
    page.line(80, 210, "各位住户：", "hei", 40)
    text = [
        "因管道维修，本小区将于四月八日",
        "上午九点至下午五点停水，请提前",
        "储备生活用水，并关好水龙头。",
        "由此带来的不便，敬请谅解。",
    ]
    for i, line in enumerate(text):
        page.line(80, 285 + 70 * i, line, "hei", 44)
    page.line(920, 600, "阳光花园物业", "hei", 40, at="right")
    page.line(920, 665, "2026年4月5日", "hei", 40, at="right")
    page.picture = noise(tilt(page.picture, -5, DESK), 4, seed=32)
    return page


def noisy_en() -> Page:
    page = Page(1100, 700, (226, 222, 212), ink=(50, 46, 44))
    page.line(80, 110, "Lost property office", "bold", 48)
    text = [
        "One black umbrella with a wooden handle,",
        "found on platform 2 on 9 February.",
        "One child's red glove, left hand.",
        "A paperback novel without its cover.",
        "Collect from room 114 between 10 and 4.",
    ]
    for i, line in enumerate(text):
        page.line(80, 220 + 76 * i, line, "sans", 38)
    page.line(80, 630, "Items are kept for 90 days.", "bold", 38)
    page.picture = noise(shade(blur(page.picture, 0.8), 0.75), 20, seed=33)
    return page


def noisy_zh() -> Page:
    page = Page(1100, 700, (226, 222, 212), ink=(50, 46, 44))
    page.line(80, 120, "图书馆借阅须知", "hei bold", 54)
    text = [
        "每位读者一次可借图书五册，",
        "借期三十天，可续借一次。",
        "逾期每册每天收费一角。",
        "请勿在书上涂写、折页或撕页。",
        "周一闭馆，其余时间照常开放。",
    ]
    for i, line in enumerate(text):
        page.line(80, 230 + 84 * i, line, "hei", 44)
    page.picture = noise(shade(blur(page.picture, 0.8), 0.75), 20, seed=34)
    return page


def bilingual() -> Page:
    page = Page(1100, 820, (238, 236, 228), ink=(40, 38, 36))
    page.rule(130, 80, 1020, 4)
    page.line(80, 105, "青花缠枝莲纹瓶", "song bold", 56)
    page.line(80, 200, "Blue and white vase with lotus scrolls", "serif bold", 40)
    page.line(80, 270, "明代永乐年间，高三十六厘米", "song", 40)
    page.line(80, 330, "Ming dynasty, Yongle period, height 36 cm", "serif", 36)
    page.line(80, 440, "此瓶胎质洁白细腻，釉面温润，", "song", 40)
    page.line(80, 505, "纹饰流畅，为景德镇御窑厂所制。", "song", 40)
    page.line(80, 595, "Made in the imperial kilns at Jingdezhen,", "serif", 36)
    page.line(80, 650, "with a fine white body and a soft glaze.", "serif", 36)
    page.line(80, 755, "展厅二 Gallery 2", "hei", 38)
    page.picture = noise(shade(page.picture, 0.9), 3, seed=35)
    return page


def card_bilingual() -> Page:
    page = Page(1000, 600, (252, 252, 252), ink=(34, 40, 52))
    page.draw.rectangle((0, 0, 1000, 26), (30, 90, 140))
    page.line(70, 140, "林晓峰", "hei bold", 66)
    page.line(70, 205, "Lin Xiaofeng", "sans", 42)
    page.line(70, 275, "高级工程师 Senior Engineer", "hei", 36)
    page.line(70, 375, "深圳市蓝海仪器有限公司", "hei bold", 40)
    page.line(70, 430, "Blue Ocean Instruments Co., Ltd.", "sans", 34)
    page.line(70, 500, "电话 Tel: 0755-8312 4476", "hei", 34)
    page.line(70, 555, "xf.lin@blueocean.example", "sans", 34)
    page.picture = noise(page.picture, 3, seed=36)
    return page
