"""What the studio says in Chinese."""

from __future__ import annotations

from app.i18n import said


def test_a_reason_is_said_in_chinese_with_what_is_put_into_it() -> None:
    assert said("zh-CN", "The film is too long") == "动画太长"
    assert said("zh-CN", "It is larger than 20 MiB") == "超过 20 MiB"
    assert said("zh-CN", "9000 x 7 pixels are too many; at most 8192 a side") == "9000 × 7 像素太大；每边最多 8192"
    assert said("zh-CN", "No family trains on films yet") == "还没有模型能用动画训练", "and the word itself"
    assert said("zh-CN", "It cannot be published: The film is too long") == "无法发布：动画太长"


def test_what_is_not_known_stays_as_it_is() -> None:
    assert said("zh-CN", "{} of 100 %(x)s {0}") == "{} of 100 %(x)s {0}"
    assert said("en", "It is larger than 20 MiB") == "It is larger than 20 MiB"
    assert said("zh-CN", None) == ""
