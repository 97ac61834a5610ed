"""What is worth an alert once a slot is planned; each says it when it begins, not in every slot that it lasts."""

from aq_gym.service.database import Alert, Plan
from aq_gym.service.drift import CONFIRMING, confirm, drift_alerts
from aq_gym.service.planning_state import PlanningState
from aq_gym.service.settings import Settings
from aq_gym.service.store import Store


def alerts_of(settings: Settings, store: Store, last: Plan, plan: Plan) -> list[Alert]:
    """Spike, empty battery, an unconfirmed map, residuals that have changed; `control` adds missed reports."""
    of_air = [*_spike(settings, store, plan), *_empty(settings, store, last, plan)]
    return [*of_air, *_unconfirmed(settings, store, plan), *drift_alerts(settings, store, plan)]


def _spike(settings: Settings, store: Store, plan: Plan) -> list[Alert]:
    if plan.level_deviation is None or plan.level <= settings.alert_level:
        return []
    known = store.levels(0, plan.slot - 1, limit=1)  # the newest; while the service was down there was none
    if known and known[0].level > settings.alert_level:
        return []
    message = f"the area's level is {plan.level:.1f} µg/m³, above {settings.alert_level:g}"
    return [Alert(slot=plan.slot, kind="spike", subject="area", message=message)]


def _empty(settings: Settings, store: Store, last: Plan, plan: Plan) -> list[Alert]:
    """A device that has nothing left although it could not even sleep through the rest."""
    left = settings.problem.horizon - plan.cycle_slot
    if plan.cycle_slot == 0 or left <= settings.problem.max_sleep:
        return []
    alerts = []
    energy = [PlanningState.from_json(x.state).energy for x in (last, plan)]
    for device, before, now in zip(store.devices(), *energy, strict=True):
        if before > 0 == now:
            message = f"{device.id} has no energy left for the {left} slots that remain"
            alerts.append(Alert(slot=plan.slot, kind="energy", subject=device.id, message=message))
    return alerts


def _unconfirmed(settings: Settings, store: Store, plan: Plan) -> list[Alert]:
    if store.alerts(max(0, plan.slot - CONFIRMING), 1, "unconfirmed"):
        return []
    found = confirm(settings, store, plan.slot - 1)
    if not found.broken:
        return []
    message = (
        f"{found.readings} readings were off the map by {found.delivered:.1f} µg/m³, which claimed {found.promised:.1f}"
    )
    return [Alert(slot=plan.slot, kind="unconfirmed", subject="area", message=message)]
