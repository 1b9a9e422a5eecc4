# SPDX-License-Identifier: Apache-2.0
"""What must hold of every figure."""

from monai_cl_ext.visualize import Drawing


def check_names(drawing: Drawing) -> None:
    """It has a title, and every axis that is seen has a name."""
    assert drawing.title
    for axes in drawing.figure.axes:
        if not axes.axison:
            continue
        assert axes.get_ylabel() or not axes.yaxis.get_visible(), drawing.name
        assert axes.get_xlabel() or axes.get_label() == "<colorbar>", drawing.name


def check_room(drawing: Drawing) -> None:
    """Names of axes, legends and texts lie inside the figure; texts and names of ticks do not lie on each other."""
    drawing.figure.canvas.draw()
    whole = drawing.figure.bbox
    boxes = [(legend.get_texts()[0].get_text(), legend.get_window_extent()) for legend in drawing.figure.legends]
    for axes in drawing.figure.axes:
        named = [axes.xaxis.label, axes.yaxis.label] if axes.axison else []
        texts = [text for text in (*named, *axes.texts) if text.get_text() and text.get_visible()]
        boxes += [(text.get_text(), text.get_window_extent()) for text in texts]
        assert not overlaps([text.get_window_extent() for text in axes.texts]), drawing.name
        for axis in (axes.xaxis, axes.yaxis):
            shown = axes.axison and axis.get_visible()
            ticks = [tick.get_window_extent() for tick in axis.get_ticklabels() if tick.get_text()] if shown else []
            assert not overlaps(ticks), drawing.name
    for name, box in boxes:
        assert whole.x0 - 1 <= box.x0 and box.x1 <= whole.x1 + 1, (drawing.name, name)
        assert whole.y0 - 1 <= box.y0 and box.y1 <= whole.y1 + 1, (drawing.name, name)


def overlaps(boxes: list) -> bool:
    """Whether two of the boxes share more than an edge."""
    return any(
        min(first.x1, second.x1) - max(first.x0, second.x0) > 0.5
        and min(first.y1, second.y1) - max(first.y0, second.y0) > 0.5
        for number, first in enumerate(boxes)
        for second in boxes[:number]
    )
