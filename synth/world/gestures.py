"""Named gestures and grasps (DESIGN section 5)."""

from synth.world.pose_class import PoseClass


def _gesture(
    name: str, *words: str, shape: str = "", facing: str = "either", tilt: float = 0.0, oriented: bool = False
) -> PoseClass:
    return PoseClass(name, "gesture", words, shape or name, facing, tilt, oriented)


def _grasp(name: str, *words: str) -> PoseClass:
    return PoseClass(name, "grasp", words, name)


# fmt: off
GESTURES: tuple[PoseClass, ...] = (
    _gesture("fist", "a fist", "a closed fist", "a clenched fist", "a clenched hand", shape="S"),
    _gesture("open palm", "an open palm", "an open hand", "a hand with all five fingers spread",
             "five fingers spread wide", "a high five", "the number five"),
    _gesture("flat hand", "a flat hand", "a flat open hand with the fingers together",
             "a straight hand with closed fingers"),
    _gesture("stop", "a stop sign", "a hand saying stop", "a halt gesture",
             shape="flat hand", facing="palm", oriented=True),
    _gesture("thumbs up", "a thumbs up", "a thumbs-up", "a thumbs up sign", "a raised thumb", "a like sign",
             tilt=90.0, oriented=True),
    _gesture("thumbs down", "a thumbs down", "a thumbs-down", "a thumbs down sign", "a lowered thumb", "a dislike sign",
             shape="thumbs up", tilt=-90.0, oriented=True),
    _gesture("victory", "a victory sign", "a peace sign", "a V sign", "the number two", shape="V"),
    _gesture("ok", "an OK sign", "an okay sign", "an OK gesture", "a perfect sign", shape="F"),
    _gesture("pointing", "a pointing hand", "a pointing index finger", "a hand pointing with the index finger",
             "one finger up", "the number one", shape="Z"),
    _gesture("call", "a call me sign", "a phone gesture", "a shaka sign", "a hang loose sign", shape="Y"),
    _gesture("rock", "a rock sign", "a rock and roll sign", "devil horns", "a sign of the horns"),
    _gesture("four", "four fingers up", "the number four", "a hand showing four"),
    _gesture("three", "three fingers up", "the number three", "a hand showing three", shape="W"),
    _gesture("thumb three", "the ASL number three", "three shown with thumb, index and middle finger"),
    _gesture("two fingers together", "two fingers up together", "a scout sign",
             "two raised fingers held together", shape="U"),
    _gesture("little finger up", "a raised little finger", "a pinky up", "a pinky promise hand", shape="I"),
    _gesture("love", "an I love you sign", "an ILY sign", "the ASL sign for I love you", "a love sign"),
    _gesture("crossed fingers", "crossed fingers", "fingers crossed for luck", "a good luck sign", shape="R"),
    _gesture("finger gun", "a finger gun", "a hand shaped like a gun", "a gun gesture", tilt=90.0),
    _gesture("L sign", "an L shape of thumb and index finger", "a loser sign",
             "thumb and index finger in an L", shape="L"),
    _gesture("spock", "a Vulcan salute", "a Spock sign", "a live long and prosper sign"),
    _gesture("relaxed hand", "a relaxed hand", "a loose hand", "a resting hand", "a hand at ease"),
    _gesture("pinch", "a pinch", "a pinching hand", "thumb and index finger pinched together"),
    _gesture("a little bit", "a small amount sign", "a little bit sign", "thumb and index finger a little apart"),
    _gesture("claw", "a claw", "a clawed hand", "a hand like a claw"),
    _gesture("pinched fingers", "pinched fingers", "an Italian hand gesture", "all fingertips pinched together"),
    _gesture("cupped hand", "a cupped hand", "a hand held like a cup", "a scooping hand"),
    _gesture("bent hand", "a bent hand", "a hand bent at the knuckles", "a tabletop hand"),
    _gesture("half fist", "a half fist", "fingers folded at the middle joints", "a paw"),
    _gesture("zero", "the number zero", "a round zero hand", "a hand making a circle", shape="O"),
)

GRASPS: tuple[PoseClass, ...] = (
    _grasp("cylinder grasp", "a cylinder grasp", "a hand holding an invisible bottle", "a grip around a glass"),
    _grasp("sphere grasp", "a sphere grasp", "a hand holding an invisible ball", "a grip around an orange"),
    _grasp("precision grasp", "a precision grasp", "a hand picking up something small", "a fine two-finger grip"),
    _grasp("tripod grasp", "a tripod grasp", "a hand holding an invisible pen", "a writing grip"),
    _grasp("hook grasp", "a hook grasp", "a hand carrying an invisible bag", "fingers hooked around a handle"),
    _grasp("lateral grasp", "a lateral grasp", "a hand holding an invisible key", "a key grip"),
    _grasp("plate grasp", "a plate grasp", "a hand holding an invisible book", "a flat clamp grip"),
    _grasp("power grip", "a power grip", "a hand gripping an invisible hammer", "a grip around a stick"),
)
# fmt: on
