"""Sensors: one driver a file, each a `core.ports.Sensor`, all passing `tests/drivers/check_sensor.py`."""

from inframe.core.clock import Clock
from inframe.core.ports import Sensor
from inframe.core.sensor import BagSensor, CsvSensor, IgtlSensor, LslSensor, SensorBase, SimulatedSensor, WfdbSensor


def is_recorded(sensor: SensorBase) -> bool:
    """Whether it is a recording, which begins together with the displayed stream."""
    return isinstance(sensor, CsvSensor | WfdbSensor | BagSensor)


def open_sensor(sensor: SensorBase, clock: Clock, began_ns: int) -> Sensor:
    """The driver for `sensor`. A recording's first moment is played at `began_ns`.

    Raises ConfigError when the device file and the source contradict each other, DeviceFault when the source can't be read.
    """
    # imported late: a process loads what it needs and no other driver
    match sensor:
        case CsvSensor():
            from inframe.drivers.sensors.csvfile import read_csv
            from inframe.drivers.sensors.play import Played

            return Played(*read_csv(sensor), sensor.rate_hz, clock, began_ns)
        case WfdbSensor():
            from inframe.drivers.sensors.play import Played
            from inframe.drivers.sensors.wfdb import read_wfdb

            return Played(*read_wfdb(sensor), sensor.rate_hz, clock, began_ns)
        case BagSensor():
            from inframe.drivers.sensors.bag import read_bag
            from inframe.drivers.sensors.play import Played

            return Played(*read_bag(sensor), sensor.rate_hz, clock, began_ns)
        case IgtlSensor():
            from inframe.drivers.sensors.igtl import IgtlTracker

            return IgtlTracker(sensor, clock)
        case LslSensor():
            from inframe.drivers.sensors.lsl import LslInlet

            return LslInlet(sensor, clock)
        case SimulatedSensor():
            from inframe.drivers.sensors.simulator import Simulator

            return Simulator(sensor, clock)
        case _:
            raise RuntimeError(f"no driver for {type(sensor).__name__}")
