"""Old place of `baselines.studies.backtest`."""

from baselines.studies.backtest.maps import METHODS as METHODS
from baselines.studies.backtest.maps import estimate as estimate
from baselines.studies.backtest.maps import gaussian_process as gaussian_process
from baselines.studies.backtest.maps import gaussian_process_map as gaussian_process_map
from baselines.studies.backtest.replaying import Faults as Faults
from baselines.studies.backtest.replaying import Replayed as Replayed
from baselines.studies.backtest.replaying import Windows as Windows
from baselines.studies.backtest.replaying import check_shares as check_shares
from baselines.studies.backtest.replaying import replay as replay
from baselines.studies.backtest.replaying import sources_of as sources_of
from baselines.studies.backtest.scores import BANDS as BANDS
from baselines.studies.backtest.scores import block_interval as block_interval
from baselines.studies.backtest.scores import change as change
from baselines.studies.backtest.scores import judge as judge
from baselines.studies.backtest.tables import Delivered as Delivered
from baselines.studies.backtest.tables import backtest as backtest
from baselines.studies.backtest.tables import deliver as deliver
