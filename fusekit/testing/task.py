"""Contract of task networks."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor

from fusekit.interfaces.task import DetectionNetwork, SegmentationNetwork
from fusekit.interfaces.types import Boxes
from fusekit.testing.expect import expect, expect_finite, expect_same, expect_shape, expect_within
from fusekit.testing.module import ModuleContract
from fusekit.testing.samples import boxes, images, labels


class TaskContract(ModuleContract):
    """Checks of a task network.

    Checks of label maps apply only to a `SegmentationNetwork`, checks of objects only to a `DetectionNetwork`.
    """

    kind = "task"

    def inputs(self, batch: int = 2, height: int = 33, width: int = 47) -> tuple[Tensor, ...]:
        return images(1, batch, height, width, self.channels)

    def call(self, module: Callable[..., Any], inputs: tuple[Tensor, ...]) -> Tensor:
        logits: Tensor = module(*inputs)
        return logits

    def target(self, module: Any, logits: Tensor) -> Any:
        """A target for the loss: label maps or boxes, or for any other task the network's own prediction."""
        if isinstance(module, SegmentationNetwork):
            return labels(len(module.classes), logits.shape[0], logits.shape[-2], logits.shape[-1])
        if isinstance(module, DetectionNetwork):
            return boxes(len(module.classes), logits.shape[0])
        prediction: Tensor = module.predict(logits).detach()
        return prediction

    def _segmenter(self) -> SegmentationNetwork:
        module = self.make().eval()
        if not isinstance(module, SegmentationNetwork):
            raise SkipTest("it is not a segmentation network")
        return module

    def _detector(self) -> DetectionNetwork:
        module = self.make().eval()
        if not isinstance(module, DetectionNetwork):
            raise SkipTest("it is not a detector")
        return module

    def test_takes_grey_and_colour_images_of_any_size(self) -> None:
        """For images of one or three channels and any size from 16 pixels, the logits have the size of the images."""
        module = self.make().eval()
        for batch, height, width in self.every_size():
            for channels in (1, 3):
                with torch.no_grad():
                    logits = module(*images(1, batch, height, width, channels))
                where = f"logits of {batch} images of {channels} channels and {height}x{width}"
                if isinstance(module, SegmentationNetwork):
                    expect_shape(where, logits, (batch, len(self.classes), height, width))
                else:
                    expect(len(logits) == batch, f"{where}: expected {batch} results, found {len(logits)}")

    def test_options_declare_what_it_solves(self) -> None:
        """Its Config declares segmentation in `solves` if it is a `SegmentationNetwork`, detection if a detector."""
        declared, segments = "segmentation" in self.config().solves(), issubclass(self.component(), SegmentationNetwork)
        expect(
            declared == segments,
            f"solves() of the Config: expected segmentation {'in it' if segments else 'to be absent'}, as the class "
            f"is {'' if segments else 'not '}a SegmentationNetwork, found {sorted(self.config().solves())}",
        )
        expect(
            "detection" in self.config().solves() or not issubclass(self.component(), DetectionNetwork),
            f"solves() of the Config: expected detection in it, found {sorted(self.config().solves())}",
        )

    def test_logits_are_finite(self) -> None:
        """The output is float32 and finite."""
        with torch.no_grad():
            expect_finite("logits", self.call(self.make().eval(), self.inputs()))

    def test_classes_are_those_of_the_data(self) -> None:
        """Its class table is that of the dataset, whose names are used for its scores."""
        module = self.make().eval()
        if not isinstance(module, SegmentationNetwork | DetectionNetwork):
            raise SkipTest("it has no class table")
        expect(module.classes == self.classes, f"classes: expected {self.classes}, found {module.classes}")
        if isinstance(module, DetectionNetwork):
            return
        void = self.classes.ignore_index
        expect(void in module.ignored, f"ignored: expected the ignore value {void} in it, found {set(module.ignored)}")

    def test_predictions_are_label_maps(self) -> None:
        """`predict` returns an index of the class table for every pixel."""
        module = self._segmenter()
        with torch.no_grad():
            predicted = module.predict(module(*self.inputs()))
        expect_shape("prediction", predicted, (2, 33, 47))
        expect(predicted.dtype == torch.int64, f"prediction: expected int64, found {predicted.dtype}")
        low, high = int(predicted.min()), int(predicted.max())
        expect(
            low >= 0 and high < len(self.classes),
            f"prediction: expected classes 0 to {len(self.classes) - 1}, found {low} to {high}",
        )

    def test_detections_are_objects(self) -> None:
        """`predict` returns finite boxes, classes of the table and falling scores for every image."""
        module = self._detector()
        with torch.no_grad():
            predicted = module.predict(module(*self.inputs()))
        expect(len(predicted) == 2, f"prediction: expected the objects of 2 images, found {len(predicted)}")
        for found in predicted:
            count = len(found.scores)
            expect_shape("corners", found.corners, (count, 4))
            expect_finite("corners", found.corners)
            expect(
                bool((found.corners[:, 2:] >= found.corners[:, :2]).all()),
                "corners: expected left ≤ right and top ≤ bottom, found others",
            )
            expect_shape("classes", found.classes, (count,))
            known = (found.classes >= 0) & (found.classes < len(self.classes))
            expect(bool(known.all()), f"classes: expected 0 to {len(self.classes) - 1}, found others")
            expect_within("scores", found.scores, 0.0, 1.0)
            expect(bool((found.scores.diff() <= 0).all()), "scores: expected falling ones, found a rise")

    def test_loss_of_images_without_objects_is_finite(self) -> None:
        """The loss of images without any object is finite, so that such a batch does not stop the training."""
        module = self._detector()
        empty = Boxes(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))
        loss = module.loss(self.call(module, self.inputs()), (empty, empty))
        expect(bool(torch.isfinite(loss)), f"loss without objects: expected a number, found {loss.item()}")

    def test_ignored_images_do_not_affect_the_loss(self) -> None:
        """An image that is covered by an ignored box of class -1 does not affect the loss."""
        module = self._detector()
        logits = self.call(module, self.inputs()).detach().requires_grad_()
        whole = Boxes(torch.tensor([[0.0, 0.0, 47.0, 33.0]]), torch.tensor([-1]), torch.tensor([True]))
        (gradient,) = torch.autograd.grad(module.loss(logits, (boxes(len(self.classes))[0], whole)), logits)
        expect(
            not bool((gradient[1] != 0).any()),
            "gradient of the loss in an ignored image: expected zero, found other values",
        )

    def test_loss_is_differentiable(self) -> None:
        """The loss is a finite scalar and has a gradient with respect to the image."""
        module = self.make().eval()
        image = self.inputs()[0].requires_grad_()
        logits = module(image)
        loss = module.loss(logits, self.target(module, logits))
        expect(loss.ndim == 0, f"loss: expected a scalar, found shape {tuple(loss.shape)}")
        expect(bool(torch.isfinite(loss)), f"loss: expected a finite number, found {loss.item()}")
        expect(loss.requires_grad, "loss: expected a gradient with respect to the image, found none")
        (gradient,) = torch.autograd.grad(loss, image, allow_unused=True)
        expect(gradient is not None, "loss: expected a gradient with respect to the image, found none")
        expect(bool(torch.isfinite(gradient).all()), "gradient of the loss: expected finite numbers, found others")

    def test_target_is_not_changed(self) -> None:
        """The loss does not change the target, which other losses use after it."""
        module = self.make().eval()
        with torch.no_grad():
            logits = self.call(module, self.inputs())
            target = self.target(module, logits)
            if isinstance(module, SegmentationNetwork):
                target[:, :4] = module.classes.ignore_index
            before = copy.deepcopy(target)
            module.loss(logits, target)
        if isinstance(module, DetectionNetwork):
            target, before = (torch.cat([each.corners for each in one]) for one in (target, before))
        expect_same("target after the loss", target, before)

    def test_loss_of_unlabelled_images_is_finite(self) -> None:
        """The loss of images without any label is finite, so that such a batch does not stop the training."""
        module = self._segmenter()
        logits = self.call(module, self.inputs())
        loss = module.loss(logits, torch.full((2, 33, 47), module.classes.ignore_index))
        expect(bool(torch.isfinite(loss)), f"loss of ignored labels only: expected a number, found {loss.item()}")

    def test_ignored_pixels_do_not_affect_the_loss(self) -> None:
        """Pixels without a label do not affect the loss."""
        module = self._segmenter()
        logits = self.call(module, self.inputs()).detach().requires_grad_()
        target = labels(len(module.classes))
        target[:, :16] = module.classes.ignore_index
        (gradient,) = torch.autograd.grad(module.loss(logits, target), logits)
        expect(
            not bool((gradient[:, :, :16] != 0).any()),
            "gradient of the loss at ignored pixels: expected zero, found other values",
        )

    def test_second_order_is_correct(self) -> None:
        """If `second_order` is true, the network is twice differentiable."""
        module = self.make().double().eval()
        if not module.second_order:
            raise SkipTest("its second_order is false")
        image = self.inputs(1)[0].double().requires_grad_()
        self._differentiate_twice(module, (image,), [image])
